"""What can run code that stands in a file, or write outside a folder, is called nowhere unnamed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/crystalformer_rl"
MODULES = {
    "pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "monty", "code", "subprocess",
    "tarfile", "zipfile", "ctypes",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle",
    "shutil.unpack_archive", "torch.jit.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
}  # fmt: skip
ALLOWED = {
    # A restricted reader: anything but arrays and plain records is refused.
    ("model/pretrained.py", "pickle"),
    # The name of the exception by which torch's restricted reader refuses.
    ("potentials/pickles.py", "pickle"),
    # After the user has said that the file is trusted.
    ("potentials/mace.py", "torch.load"),
    # A reward that the user has written, after jobs.trust_code has said that it is trusted.
    ("rewards/file.py", "compile"),
    ("rewards/file.py", "exec"),
    # Fixed commands without a shell: git; sinfo, sacct, sacctmgr and scontrol; this Python.
    ("jobs/provenance.py", "subprocess"),
    ("tools/doctor/cluster.py", "subprocess"),
    ("tools/doctor/plan.py", "subprocess"),
    # Two fixed settings of the allocator of the C library of this process.
    ("jobs/device.py", "ctypes"),
    # Writes an archive, opens none.
    ("crystal/writers.py", "zipfile"),
    # Reads files of an archive into memory, unpacks none.
    ("crystal/readers.py", "zipfile"),
}


def dangers(tree: ast.AST) -> Iterator[str]:
    """The modules of the list that are imported, and the calls of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name.partition(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            yield from {(node.module or "").partition(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            restricted = options.get("weights_only") == "True"
            if (
                name in CALLS
                or name.rpartition(".")[2] in ("extractall", "extract", "MontyDecoder", "loadfn")
                or (name == "torch.load" and not restricted)
                or options.get("allow_pickle", "False") != "False"
                or options.get("shell", "False") != "False"
            ):
                yield name


def test_the_source_has_only_what_is_allowed() -> None:
    found = {
        (path.relative_to(SOURCE).as_posix(), danger)
        for path in SOURCE.rglob("*.py")
        for danger in dangers(ast.parse(path.read_bytes()))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from subprocess import run",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
        "archive.extractall(folder)",
        "run(words, shell=True)",
        "MontyDecoder().decode(text)",
    ],
)
def test_each_is_recognised(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_restricted_readers_pass() -> None:
    code = "torch.load(p, weights_only=True); np.load(p); yaml.safe_load(t); model.eval()"
    assert not list(dangers(ast.parse(code)))
