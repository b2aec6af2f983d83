"""The size of a policy that trains in milliseconds."""

from crystalformer_rl.config import ModelSettings

TINY = ModelSettings(
    layers=1,
    heads=2,
    key_size=4,
    width=16,
    embedding=8,
    first_letter_hidden=16,
    coordinate_modes=4,
    lattice_modes=2,
    max_sites=6,
)
