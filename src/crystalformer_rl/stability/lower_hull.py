"""The lower convex hull of one chemical system, as planes of chemical potentials.

A point of the hull's domain is a composition x on the unit simplex (n atomic fractions that sum
to 1), its height a formation energy. A facet of the lower hull spans n compounds with the
fractions M (n × n, one row each) and energies e. Its plane is the n chemical potentials μ = M⁻¹ e,
and its height at x is x·μ. A convex function is the maximum of its supporting planes, hence

    E_hull(x) = max over facets of x·μ

without a search for the facet that contains x. Facets: Barber, Dobkin & Huhdanpaa, ACM TOMS 22, 469
(1996); phase diagrams: Ong, Wang, Kang & Ceder, Chem. Mater. 20, 1798 (2008).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

# Energies closer to the plane of the elements than this count as on it, eV/atom (as pymatgen).
FLAT = 1e-11
# A facet that covers a smaller share of the domain than this is vertical.
UPRIGHT = 1e-13
# Tolerances for rounding: distance of an entry below a plane, eV/atom; sum of the facets' shares.
SUPPORT_TOLERANCE = 1e-8
COVER_TOLERANCE = 1e-7
# The number of facets grows steeply with the dimension; from here on a linear programme per
# composition is cheaper than all facets of the system.
MAX_ELEMENTS_OF_FACETS = 6


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
        self._corners = np.array(
            [energies[fractions[:, i] == 1.0].min(initial=0.0) for i in range(n)]
        )
        heights = energies - fractions @ self._corners
        below = heights < -FLAT
        self._fractions = np.vstack([np.eye(n), fractions[below]])
        self._heights = np.concatenate([np.zeros(n), heights[below]])
        self._planes = self._find_planes()

    def energy(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the hull, eV/atom, at (k, n) compositions."""
        if self._planes is None:
            relative = np.array([self._programme(x) for x in fractions])
        else:
            relative = (fractions @ self._planes.T).max(axis=1)
        return np.asarray(relative + fractions @ self._corners, dtype=np.float64)

    def _find_planes(self) -> NDArray[np.float64] | None:
        """(f, n) planes of the facets relative to the corners, or None if they cannot be found."""
        entries, n = self._fractions.shape
        if entries == n:
            return np.zeros((1, n))
        if n > MAX_ELEMENTS_OF_FACETS:
            return None
        # The last fraction follows from the others. A point far above closes the hull at the
        # top, so that a facet without this point belongs to the lower hull or is vertical.
        points = np.column_stack([self._fractions[:, :-1], self._heights])
        roof = np.append(np.full(n - 1, 1 / n), 1.0 - self._heights.min())
        try:
            simplices = ConvexHull(np.vstack([points, roof])).simplices
        except QhullError:
            return None
        simplices = simplices[(simplices < entries).all(axis=1)]
        matrices = self._fractions[simplices]
        shares = np.abs(np.linalg.det(matrices))
        standing = shares < UPRIGHT
        planes = np.linalg.solve(matrices[~standing], self._heights[simplices[~standing], None])[
            ..., 0
        ]
        gap = self._heights[:, None] - self._fractions @ planes.T
        supports = gap.min(axis=0) > -SUPPORT_TOLERANCE
        # Projected onto the simplex of compositions, the facets of a lower hull tile it.
        covered = shares[~standing][supports].sum()
        return planes[supports] if abs(covered - 1) < COVER_TOLERANCE else None

    def _programme(self, x: NDArray[np.float64]) -> float:
        """Cheapest mixture of entries with composition ``x``, by linear programming."""
        answer = linprog(
            self._heights, A_eq=self._fractions.T, b_eq=x, bounds=(0, None), method="highs"
        )
        if not answer.success:
            raise ArithmeticError(f"no hull energy at composition {x.tolist()}: {answer.message}")
        return float(answer.fun)
