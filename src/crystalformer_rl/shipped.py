"""Where the files are that come with the project: trained policies, MP-20, energies of elements.

A wheel has them inside the package (setup.py). In the repository they are in ``resources/``, and
``CITATION.cff`` is at the top.
"""

from pathlib import Path

_INSIDE = Path(__file__).parent / "resources"
RESOURCES = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[2] / "resources"

CITATION = RESOURCES.parent / "CITATION.cff"
"""How the software is to be cited."""
