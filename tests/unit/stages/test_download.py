"""Downloads by file:// and from a server on this machine, so that nothing leaves it."""

import argparse
import hashlib
import http.server
import resource
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crystalformer_rl.manifest import MANIFEST, read_manifest, verify
from crystalformer_rl.stages import download

CONTENT = b"material_id,cif\nmp-1,data_x\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "server/train.csv"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def fetch(source: Path, **changes: Any) -> Path:
    """Download ``source`` by a manifest of one entry; the path of the result."""
    folder = source.parents[1]
    entry = {
        "url": source.as_uri(),
        "sha256": SHA256,
        "size": len(CONTENT),
        "licence": "CC0",
        "citation": "none",
        "description": "a test",
    } | changes
    manifest = folder / "manifest.yaml"
    manifest.write_text(yaml.safe_dump({"set/train.csv": entry}))
    out = folder / "downloads/set/train.csv"
    download.run(argparse.Namespace(manifest=manifest, name="set/train.csv", out=out))
    return out


def test_the_right_file_arrives(source: Path) -> None:
    out = fetch(source)
    assert out.read_bytes() == CONTENT
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "0" * 64}, "its sha256 is"),
        ({"size": 100}, f"it has {len(CONTENT)} bytes, expected 100"),
        ({"git_blob": "0" * 40}, "its git blob id is"),
    ],
)
def test_another_file_is_refused_and_leaves_nothing(
    source: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as error:
        fetch(source, **changes)
    assert "save file://" in str(error.value)
    assert "downloads/set/train.csv" in str(error.value)
    assert list((source.parents[1] / "downloads/set").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>not found</html>", "an HTML page"),
    ],
)
def test_pointers_and_pages_are_recognised(source: Path, content: bytes, words: str) -> None:
    source.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        fetch(source, sha256=None, size=None)


def test_a_server_without_the_file_leaves_instructions(source: Path) -> None:
    source.unlink()
    with pytest.raises(ConnectionError, match="download failed") as error:
        fetch(source)
    assert "cannot be written" not in str(error.value)
    assert f"sha256 {SHA256}" in str(error.value)
    assert "to download by hand, save" in str(error.value)


def test_a_full_disk_is_no_failed_download(source: Path) -> None:
    """A limit on the size of files gives what a full disk does."""
    source.write_bytes(bytes(1 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(OSError, match=r"train\.csv: cannot be written: ") as error:
            fetch(source, sha256=None, size=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    assert "download failed" not in str(error.value)


def test_an_unknown_checksum_is_kept_and_asked_for_again(source: Path) -> None:
    out = fetch(source, sha256=None, size=None)
    assert Path(f"{out}.sha256").read_text().split()[0] == SHA256
    source.write_bytes(CONTENT + b"mp-2,data_y\n")
    with pytest.raises(ValueError, match=f"expected {SHA256}"):
        fetch(source, sha256=None, size=None)
    assert out.read_bytes() == CONTENT


def test_the_git_id_is_the_one_git_gives(source: Path) -> None:
    answer = subprocess.run(
        ["git", "hash-object", "--no-filters", str(source)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert fetch(source, sha256=None, git_blob=answer.stdout.strip()).is_file()


def test_a_name_that_is_not_in_the_manifest(source: Path) -> None:
    fetch(source)
    manifest = source.parents[1] / "manifest.yaml"
    with pytest.raises(ValueError, match=r"nothing\.csv: not in .* has: set/train\.csv"):
        download.run(
            argparse.Namespace(manifest=manifest, name="nothing.csv", out=source.parent / "x")
        )


def test_the_manifest_of_the_repository() -> None:
    entries = read_manifest(MANIFEST)
    assert {"mp_20/train.csv", "mp_20/val.csv", "mp_20/test.csv"} <= set(entries)
    for entry in entries.values():
        assert entry.url.startswith("https://")
        assert bool(entry.sha256 or entry.git_blob) == entry.tried
    assert {"alex_20/train.csv", "crystalformer/alex20/PBE/epoch_005500.pkl"} <= set(entries)


def test_an_address_that_was_not_tried(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    source.unlink()
    with pytest.raises(ConnectionError, match=r"it was not tried here; to download by hand"):
        fetch(source, sha256=None, tried=False)
    assert "but it was not tried here; checksum unknown" in caplog.text


def test_a_file_in_the_place_of_a_download_is_verified(tmp_path: Path) -> None:
    entry = read_manifest(MANIFEST)["mp_20/train.csv"]
    forged = tmp_path / "resources/downloads/mp_20/train.csv"
    forged.parent.mkdir(parents=True)
    forged.write_bytes(CONTENT)
    with pytest.raises(ValueError, match=r"its git blob id is [0-9a-f]{40}, expected ") as error:
        verify([forged])
    assert str(forged) in str(error.value)
    assert str(entry.git_blob) in str(error.value)
    assert f"snakemake downloads it from {entry.url}" in str(error.value)
    verify([forged.rename(forged.with_name("mine.csv"))])


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text("a: {url: ftp://x}")
    with pytest.raises(ValueError, match=r"manifest\.yaml: not a manifest"):
        read_manifest(path)


class Server(http.server.BaseHTTPRequestHandler):
    """``/train.csv`` is there; ``/moved/…`` is redirected to it by https, ``/plain/…`` by http."""

    def do_GET(self) -> None:
        target = {"/moved": "https", "/plain": "http"}.get(self.path.removesuffix("/train.csv"))
        self.send_response(302 if target else 200)
        if target:
            self.send_header(
                "Location", f"{target}://localhost:{self.server.server_port}/train.csv"
            )
        self.end_headers()
        if not target:
            self.wfile.write(CONTENT)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an https server whose certificate is trusted."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificate of the server")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    words += " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*words.split(), *files], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.HTTPServer(("localhost", 0), Server) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"https://localhost:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["train.csv", "moved/train.csv"])
def test_https_and_its_redirections_are_followed(server: str, source: Path, path: str) -> None:
    assert fetch(source, url=f"{server}/{path}").read_bytes() == CONTENT


def test_a_redirection_to_http_is_refused(server: str, source: Path) -> None:
    with pytest.raises(OSError, match=r"redirected to http://localhost.*, which is not https"):
        fetch(source, url=f"{server}/plain/train.csv")
    assert list((source.parents[1] / "downloads/set").iterdir()) == []


def test_more_bytes_than_expected_are_not_taken(source: Path) -> None:
    with pytest.raises(OSError, match="received more than the expected 5 bytes"):
        fetch(source, size=5)
    assert list((source.parents[1] / "downloads/set").iterdir()) == []


@pytest.mark.parametrize("url", ["http://a.org/x.csv", "ftp://a.org/x.csv", "data:,x"])
def test_only_https_and_file_are_taken(source: Path, url: str) -> None:
    with pytest.raises(ValueError, match="not a manifest of downloads"):
        fetch(source, url=url)
