"""Which source a module depends on, and a fingerprint of what that source does.

Snakemake cannot see edits inside an imported package. The workflow therefore passes each stage's
fingerprint as a parameter: it changes when code in the import closure of the stage changes, and
stays when only a comment, a docstring or the layout does, so that days of GPU work are not lost to
a corrected typo. ``config`` is left out on purpose: its whole effect is the settings that each
stage receives.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT.name
WITHOUT_EFFECT = frozenset({f"{PACKAGE}.config"})
DATA_SUFFIXES = frozenset({".css", ".html", ".js", ".json", ".npz", ".safetensors"})


def closure(module: str) -> tuple[str, ...]:
    """All modules of this package that ``module`` imports, directly or not, itself included.

    Imports inside functions count, and so does a full module name in a string, which is how a
    registry names what it imports on demand. ``module`` is a full dotted name, such as
    ``crystalformer_rl.stages.relax``.

    Raises
    ------
    ValueError
        If ``module`` is not part of the package.
    """
    if _path(module) is None:
        raise ValueError(f"{module}: no such module in {PACKAGE}")
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in WITHOUT_EFFECT:
            found.add(name)
            waiting += _imports(name)
    return tuple(sorted(found))


def fingerprint(module: str) -> str:
    """Digest of the code in the import closure of ``module`` and of the data files beside it."""
    digest = hashlib.sha256()
    for name in closure(module):
        digest.update(f"{name} {_digest(name)}\n".encode())
    return digest.hexdigest()[:16]


def _path(module: str) -> Path | None:
    first, *rest = module.split(".")
    if first != PACKAGE or not all(part.isidentifier() for part in rest):
        return None
    base = ROOT.joinpath(*rest)
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _imports(module: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    packages = {package for name in names for package in _parents(name)}
    return frozenset(name for name in names | packages if _path(name) is not None)


def _parents(name: str) -> list[str]:
    """The packages whose ``__init__`` runs when ``name`` is imported."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


@cache
def _tree(module: str) -> ast.Module:
    """The module's syntax tree without docstrings."""
    path = _path(module)
    assert path is not None
    tree = ast.parse(path.read_bytes(), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)]
    return tree


@cache
def _digest(module: str) -> str:
    """Digest of one module's code and of the data files it names."""
    path = _path(module)
    assert path is not None
    tree = _tree(module)
    digest = hashlib.sha256(ast.dump(tree).encode())
    for data in _data_files(tree, path.parent):
        digest.update(data.read_bytes())
    return digest.hexdigest()


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _data_files(tree: ast.Module, folder: Path) -> list[Path]:
    """Data files beside a module whose name, or its end with the suffix, stands in a string of it.

    ``"wyckoff.json"`` names one file; ``f"{name}.safetensors"`` names every file with that end.
    """
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in DATA_SUFFIXES
        and any(text.endswith(path.suffix) and path.name.endswith(text) for text in texts)
    )
