"""The scripts of the page: our own, and 3Dmol.js, which draws crystals in three dimensions.

README.md in this folder says where 3Dmol.js is from.
"""

import base64
import gzip
from collections.abc import Sequence
from importlib import resources

from markupsafe import Markup

SCRIPTS = ("data.js", "curves.js", "crystal.js", "table.js", "hull.js", "page.js")
FOR_CURVES = ("data.js", "curves.js")
"""What a page with nothing but figures and tables needs of them."""
VIEWER, VIEWER_LICENCE = "3Dmol-min.js", "3Dmol-LICENSE.txt"


def scripts(names: Sequence[str] = SCRIPTS) -> Markup:
    """Our own scripts, in the order in which they build on each other."""
    return Markup("\n").join(Markup(_read(name).decode()) for name in names)


def viewer() -> Markup:
    """3Dmol.js, packed, after its licence in an HTML comment."""
    licence = _read(VIEWER_LICENCE).decode().replace("--", "- -")
    return Markup(f"<!--\n{licence}\n-->\n") + packed("viewer", _read(VIEWER))


def packed(name: str, content: bytes) -> Markup:
    """A block of the page with the id ``name``: compressed, as base64; data.js unpacks it."""
    text = base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode()
    return Markup(f'<script type="text/plain" id="{name}">{text}</script>')


def _read(name: str) -> bytes:
    return resources.files("crystalformer_rl.report.browser").joinpath(name).read_bytes()
