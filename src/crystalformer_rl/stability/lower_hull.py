"""The lower convex hull of one chemical system, at one composition after the other.

The height of the hull at a composition x is the lowest energy of a mixture of compounds that has
this composition: of amounts λ ≥ 0 of compounds with the fractions M (m × n, one row each) and the
energies e,

    E_hull(x) = min λ·e   with λM = x.

The simplex method solves this linear programme. It starts from the elements, and exchanges one of n
compounds for one that lies below their plane, until none does. Then the plane is a facet of the
hull (Dantzig, Linear Programming and Extensions, 1963; for phase diagrams: Akbarzadeh, Ozoliņš and
Wolverton, Adv. Mater. 19, 3233 (2007)). A generated crystal is mostly the only one of its chemical
system, where this is several times as fast as all facets of the system.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

# Energies closer to the plane of the elements than this count as on it, eV/atom (as pymatgen).
FLAT = 1e-11
# Distance of an entry below a plane that is rounding, eV/atom.
SUPPORT_TOLERANCE = 1e-9
# Amounts below this are 0.
ROUNDING = 1e-9
# More exchanges than this are rounding errors that go round in a circle.
MAX_EXCHANGES = 1000


class LowerHull:
    """Lower hull over ``n`` elements, each at 0 or at its lowest entry if that is below 0.

    Parameters
    ----------
    fractions
        (m, n) atomic fractions of the entries.
    energies
        (m,) formation energies, eV/atom.
    """

    def __init__(self, fractions: NDArray[np.float64], energies: NDArray[np.float64]) -> None:
        n = fractions.shape[1]
        self._corners = np.where(fractions == 1, energies[:, None], 0.0).min(axis=0, initial=0.0)
        heights = energies - fractions @ self._corners
        below = heights < -FLAT
        self._fractions = np.concatenate([np.eye(n), fractions[below]])
        self._heights = np.concatenate([np.zeros(n), heights[below]])

    def energy(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the hull, eV/atom, at (k, n) compositions."""
        relative = np.array([self._height(x) for x in fractions])
        return np.asarray(relative + fractions @ self._corners, dtype=np.float64)

    def _height(self, x: NDArray[np.float64]) -> float:
        """Lowest energy of a mixture of composition ``x``, relative to the corners."""
        # Each entry, and x in the last row, as amounts of the compounds of the basis; and its
        # height above their plane. That of x starts at 0 and ends at minus the height of the hull.
        shares = np.concatenate([self._fractions, x[None]])
        gaps = np.append(self._heights, 0.0)
        basis, stuck = np.arange(len(x)), False
        for _ in range(MAX_EXCHANGES):
            entering = int(gaps[:-1].argmin())
            if gaps[entering] > -SUPPORT_TOLERANCE:
                return -float(gaps[-1])
            if stuck:
                # The first one instead of the lowest cannot go round in a circle (Bland, Math.
                # Oper. Res. 2, 103 (1977)), as exchanges can that leave the mixture as it is.
                entering = int(np.argmax(gaps < -SUPPORT_TOLERANCE))
            share = shares[entering]
            most = np.full(len(x), np.inf)
            np.divide(shares[-1], share, out=most, where=share > ROUNDING)
            step = most.min()
            ties = np.flatnonzero(most <= step + ROUNDING)
            leaving = ties[basis[ties].argmin()]
            basis[leaving], stuck = entering, step < ROUNDING
            exchanged = shares[:, leaving] / share[leaving]
            gaps -= gaps[entering] * exchanged
            shares -= exchanged[:, None] * share
            shares[:, leaving] = exchanged
        return self._programme(x)

    def _programme(self, x: NDArray[np.float64]) -> float:
        """The same by a general solver, which takes ten times as long."""
        answer = linprog(
            self._heights, A_eq=self._fractions.T, b_eq=x, bounds=(0, None), method="highs"
        )
        if not answer.success:
            raise ArithmeticError(f"no hull energy at composition {x.tolist()}: {answer.message}")
        return float(answer.fun)
