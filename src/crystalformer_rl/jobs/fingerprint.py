"""Which source a stage depends on, and a fingerprint of what that source does.

Snakemake cannot see edits inside an imported package. The workflow therefore passes each stage's
fingerprint as a parameter. What counts is the code of the stage's module, of every module of this
package that it imports, directly or not, of the potential and the reward that the settings choose,
and the data files that these modules name. Not counted are the modules of :data:`WITHOUT_EFFECT`,
and what is only read by people: comments, docstrings, layout, help texts of arguments and texts of
log messages. The text of an exception does count, because many end up in a result, as the reason
why a crystal was rejected.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from crystalformer_rl.config.potentials import parse
from crystalformer_rl.config.reward_base import RewardSettings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT.name
WITHOUT_EFFECT = {
    "config": "a stage receives its settings as a separate parameter",
    "jobs.cleanup": "deletes checkpoints and journals of finished jobs",
    "jobs.fingerprint": "decides when a job runs, not what it computes",
    "jobs.interruption": "ends a job between two steps, or does nothing",
    "jobs.progress": "progress bars",
    "jobs.provenance": "records how a result was made",
    "jobs.tensorboard": "a copy of the history, for display",
    "layout": "says where files are, not what is in them",
}
"""Modules that cannot change a number, with the reason; what is inside a package goes with it."""
DATA_SUFFIXES = frozenset({".css", ".html", ".js", ".json", ".npz", ".safetensors"})
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
HELP = frozenset({"help", "metavar", "title", "description"})
"""Keywords of ``add_argument`` and ``add_argument_group`` that only ``--help`` shows."""


def closure(
    module: str, *, potential: str | None = None, reward: RewardSettings | None = None
) -> tuple[str, ...]:
    """All modules whose code counts for ``module``, itself included.

    Imports inside functions are followed, those for type checkers are not. A module that is
    imported by a name from a list, as potentials and rewards are, counts only if it is named here.

    Parameters
    ----------
    module
        Full name, such as ``crystalformer_rl.stages.relax``.
    potential
        The potential that it loads: ``NAME`` or ``NAME:MODEL``.
    reward
        The settings of its reward; the potentials of a reward count with it.

    Raises
    ------
    ValueError
        If the module is not part of the package, or the potential is unknown.
    """
    if _path(module) is None:
        raise ValueError(f"{module}: no such module in {PACKAGE}")
    waiting = [module, *(parse(spec)[0].module for spec in used_potentials(potential, reward))]
    if reward is not None:
        waiting += [reward.module, *(part.module for part in reward.singles.values())]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found and not _is_without_effect(name):
            found.add(name)
            waiting += _imports(name)
    return tuple(sorted(found))


def used_potentials(potential: str | None, reward: RewardSettings | None) -> tuple[str, ...]:
    """The potentials that a stage loads by itself and for its reward, each once."""
    own = () if potential is None else (potential,)
    return tuple(dict.fromkeys((*own, *(() if reward is None else reward.potentials))))


def fingerprint(
    module: str, *, potential: str | None = None, reward: RewardSettings | None = None
) -> str:
    """Digest of the code in the :func:`closure` and of the data files that it names.

    The default models of potentials count too.
    """
    digest = hashlib.sha256()
    for spec in used_potentials(potential, reward):
        digest.update(f"model {parse(spec)[1]}\n".encode())
    for name in closure(module, potential=potential, reward=reward):
        digest.update(f"{name} {_digest(name)}\n".encode())
    return digest.hexdigest()[:16]


def _is_without_effect(module: str) -> bool:
    """Whether it is in :data:`WITHOUT_EFFECT`, or inside a package that is."""
    name = module.removeprefix(f"{PACKAGE}.")
    return any(name == one or name.startswith(f"{one}.") for one in WITHOUT_EFFECT)


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
    for node in _statements(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    packages = {package for name in names for package in _parents(name)}
    return frozenset(name for name in names | packages if _path(name) is not None)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node that run; expressions are skipped."""
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and _is_name(node.test, "TYPE_CHECKING"):
        children = node.orelse
    for child in children:
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield child
            yield from _statements(child)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _parents(name: str) -> list[str]:
    """The packages whose ``__init__`` runs when ``name`` is imported."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


@cache
def _tree(module: str) -> ast.Module:
    """The module's syntax tree without the words that only people read."""
    path = _path(module)
    assert path is not None
    tree = ast.parse(path.read_bytes(), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            _leave_out_words(node, node.func)
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


def _leave_out_words(call: ast.Call, method: ast.Attribute) -> None:
    """Leave out the help of ``parser.add_argument(…)`` and the text of ``log.info("…", …)``."""
    if method.attr in ("add_argument", "add_argument_group"):
        call.keywords = [one for one in call.keywords if one.arg not in HELP]
        if method.attr == "add_argument_group":
            call.args = []
    elif method.attr in LOG_METHODS and _is_name(method.value, "log"):
        call.args = [one for one in call.args if not isinstance(one, ast.Constant)]


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _data_files(tree: ast.Module, folder: Path) -> list[Path]:
    """Data files next to a module whose name, or its end, is in a string of the module.

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
