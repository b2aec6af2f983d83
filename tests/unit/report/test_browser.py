"""What the page embeds for the browser."""

import base64
import gzip
import hashlib
import re
from importlib import resources

from crystalformer_rl.report import browser

FOLDER = resources.files("crystalformer_rl.report.browser")


def test_the_viewer_is_the_published_file_and_comes_with_its_licence() -> None:
    noted = re.search(r"`([0-9a-f]{64})`", FOLDER.joinpath("README.md").read_text())
    assert noted is not None
    assert hashlib.sha256(FOLDER.joinpath(browser.VIEWER).read_bytes()).hexdigest() == noted[1]
    comment = browser.viewer().split("-->")[0]
    assert "Redistributions in binary form must reproduce" in comment


def test_a_packed_block_is_the_same_bytes_each_time() -> None:
    first, second = (browser.packed("one", b"content") for _ in range(2))
    assert first == second
    text = re.search(r">(.*)</script>", first)
    assert text is not None
    assert gzip.decompress(base64.b64decode(text[1])) == b"content"


def test_scripts_do_not_end_their_element() -> None:
    assert "</script" not in browser.scripts()
    assert "fetch(" not in browser.scripts()
