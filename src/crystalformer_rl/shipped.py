"""Where the files are that come with the project: trained policies, MP-20, energies of elements.

A wheel has them inside the package (setup.py). In the repository they are in ``resources/``.
"""

from pathlib import Path

_INSIDE = Path(__file__).parent / "resources"
RESOURCES = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[2] / "resources"
