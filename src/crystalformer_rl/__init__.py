"""CrystalFormer-RL: a space-group-aware crystal generator, fine-tuned by reinforcement.

The public interface is what ``__all__`` names; its modules are in :mod:`crystalformer_rl.api`. They
are imported when they are first used, so that ``import crystalformer_rl`` takes no time.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystalformer_rl.api.crystals import Crystals
    from crystalformer_rl.api.generator import Generator, load_policy
    from crystalformer_rl.api.judging import judge
    from crystalformer_rl.api.reinforcing import reinforce

__all__ = ["Crystals", "Generator", "judge", "load_policy", "reinforce"]

_MODULES = {
    "Crystals": "crystals",
    "Generator": "generator",
    "judge": "judging",
    "load_policy": "generator",
    "reinforce": "reinforcing",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("crystalformer-rl")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
