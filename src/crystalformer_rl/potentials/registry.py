"""Which potentials there are."""

from crystalformer_rl.potentials.base import Potential


def load(name: str, *, device: str = "cpu") -> Potential:
    """Load a potential by its registered name.

    Raises
    ------
    ValueError
        If no potential has this name.
    """
    if name == "chgnet":
        from crystalformer_rl.potentials.chgnet import Chgnet  # noqa: PLC0415

        return Chgnet(device=device)
    raise ValueError(f"potential {name!r} is unknown; available: chgnet")
