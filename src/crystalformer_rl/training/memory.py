"""Memory of a branch: crystals that it has sampled before count less.

The k-th occurrence of a composition counts in full up to k = ``full``, (none − k)/(none − full)
beyond, and not at all from k = ``none`` on, over all steps and rounds of the branch. This is the
diversity filter of Thomas et al. (doi 10.1186/s13321-022-00646-z), which MatInvent (arXiv
2511.03112) and OMatGRPO (arXiv 2610.03880) use for crystals. In MatInvent every crystal of a batch
gets the weight of the last occurrence in the batch. Here the crystals of a batch count one after
the other, and those of one composition share the mean of their weights. The order within a batch
does not matter in either case.
"""

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.memory import MemorySettings
from crystalformer_rl.crystal.physical import MAX_ELEMENT
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.crystal.wyckoff import multiplicities

Keys = NDArray[np.int64]
Floats = NDArray[np.float64]


def composition_counts(tokens: CrystalTokens) -> NDArray[np.int64]:
    """(B, 119) atoms of each element per formula unit, by atomic number; index 0 is unused."""
    atoms = multiplicities()[tokens.space_group[:, None], tokens.wyckoff]
    counts = np.zeros((len(tokens), MAX_ELEMENT + 1), dtype=np.int64)
    np.add.at(counts, (np.arange(len(tokens))[:, None], tokens.element), atoms)
    divisor = np.gcd.reduce(counts, axis=1)
    reduced: NDArray[np.int64] = counts // np.maximum(divisor, 1)[:, None]
    return reduced


def composition_keys(tokens: CrystalTokens) -> Keys:
    """(B,) the same number for crystals of the same reduced composition."""
    return np.array([_hash(row) for row in composition_counts(tokens)], dtype=np.int64)


def prototype_keys(tokens: CrystalTokens) -> Keys:
    """(B,) the same number where space group, letters and the elements on them are the same."""
    rows = zip(tokens.space_group, tokens.wyckoff, tokens.element, strict=True)
    return np.array(
        [_hash(np.array([group, *sorted(256 * w + a)])) for group, w, a in rows], dtype=np.int64
    )


def crystal_keys(tokens: CrystalTokens, settings: MemorySettings) -> Keys:
    """(B,) keys by which the memory distinguishes crystals; without a discount, compositions."""
    return prototype_keys(tokens) if settings.by == "prototype" else composition_keys(tokens)


def _hash(numbers: NDArray[np.int64]) -> int:
    digest = hashlib.sha256(numbers.astype("<i8").tobytes()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


@dataclass(frozen=True, eq=False)
class Memory:
    """The crystals that a branch has been rewarded for, oldest first.

    Attributes
    ----------
    seen
        (M,) key of each crystal; those of one batch are in the order of their keys.
    """

    seen: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def after(self, keys: Keys) -> "Memory":
        """The memory after another batch, given the keys of its crystals that count."""
        return Memory(np.concatenate([self.seen, np.sort(keys)]))

    @property
    def distinct(self) -> int:
        """Number of distinct keys in the whole branch."""
        return len(np.unique(self.seen))

    def occurrences(self, keys: Keys, *, window: int | None) -> NDArray[np.int64]:
        """(n,) how often each of the ``keys`` is among the last ``window`` crystals."""
        recent = np.sort(self.seen if window is None else self.seen[-window:])
        first, end = np.searchsorted(recent, keys, "left"), np.searchsorted(recent, keys, "right")
        return np.asarray(end - first, dtype=np.int64)

    def next_weights(self, keys: Keys, settings: MemorySettings) -> Floats:
        """(n,) weight that one more crystal of each key would get."""
        return _weight(self.occurrences(keys, window=settings.window) + 1, settings)

    def batch_weights(self, keys: Keys, settings: MemorySettings) -> Floats:
        """(n,) weight in [0, 1] of each crystal of a batch that follows this memory."""
        weights = np.ones(len(keys))
        distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        before = self.occurrences(distinct, window=settings.window)
        for index, (first, count) in enumerate(zip(before, counts, strict=True)):
            occurrence = np.arange(first + 1, first + count + 1)
            weights[inverse == index] = _weight(occurrence, settings).mean()
        return weights


def known_weights(
    formulas: Sequence[str], known: AbstractSet[str], settings: MemorySettings
) -> Floats:
    """(n,) weight of crystals by whether the dataset has their reduced formula."""
    return np.array([settings.known if one in known else 1.0 for one in formulas])


def _weight(occurrence: NDArray[np.int64], settings: MemorySettings) -> Floats:
    full, none = settings.full, settings.none
    return np.asarray(np.clip((none - occurrence) / (none - full), 0, 1))
