"""Average minimum distances (AMD): how far a crystal is from the nearest known one, as geometry.

Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022). AMD_k is the distance of an atom
to its k-th neighbour, averaged over the atoms of the cell: the same for every cell of a crystal,
for mirror images, and for any elements. The distance of two crystals is the largest difference of
their AMD_1 to AMD_100. It changes continuously with the positions, where a matcher has a threshold.

Written from the paper. The authors' package has a licence that does not allow every use.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from crystalformer_rl.crystal.cell import Cell, heights_of, volume_of

NEIGHBOURS = 100
# Images of the cell in a search; more are only needed for a cell far flatter than a crystal's.
MAX_IMAGES = 100_000


def amd(cell: Cell, *, neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """(k,) AMD_1 to AMD_k, Å; NaN for a cell without volume, or too flat to search.

    The points within a radius are complete if the images of the cell fill a sphere of that radius
    around every atom; the radius grows until each atom has k neighbours within it.
    """
    count, volume = len(cell.numbers), volume_of(cell.matrix)
    unknown = np.full(neighbours, np.nan)
    if not (count and volume > 0 and np.isfinite(cell.positions).all()):
        return unknown
    heights = np.array(heights_of(cell.matrix))
    atoms = (cell.positions % 1) @ cell.matrix
    radius = 1.1 * np.cbrt(3 * (neighbours + 1) * volume / (4 * np.pi * count))
    while True:
        # Atoms lie in [0, 1) of their cells, so that their images are at most one cell further.
        reach = np.ceil(radius / heights)
        if np.prod(2 * reach + 1) > MAX_IMAGES:
            return unknown
        steps = np.stack(
            np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
        ).reshape(-1, 3)
        images = (steps @ cell.matrix)[:, None] + atoms
        centre = atoms.mean(axis=0)
        spread = np.linalg.norm(atoms - centre, axis=1).max()
        points = images.reshape(-1, 3)
        offset = points - centre
        points = points[np.einsum("ij,ij->i", offset, offset) <= (radius + spread) ** 2]
        if len(points) > neighbours:
            squares = ((atoms[:, None] - points[None]) ** 2).sum(axis=-1)
            nearest = np.sort(
                np.partition(squares, neighbours, axis=1)[:, : neighbours + 1], axis=1
            )
            if nearest[:, -1].max() <= radius**2:
                # The first is the atom itself.
                return np.asarray(np.sqrt(nearest[:, 1:]).mean(axis=0))
        radius *= 1.2


def amd_table(cells: Iterable[Cell | None], *, neighbours: int = NEIGHBOURS) -> NDArray[np.float32]:
    """(n, k) AMD of many crystals; rows of NaN where there is none."""
    rows = [
        np.full(neighbours, np.nan) if cell is None else amd(cell, neighbours=neighbours)
        for cell in cells
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, neighbours)


def nearest(
    crystals: NDArray[np.float32], known: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance of each crystal to the nearest known one, Å, and the row of that one.

    NaN and −1 where a crystal has no AMD, or nothing is known.
    """
    distance, row = np.full(len(crystals), np.nan), np.full(len(crystals), -1)
    usable, of_known = (np.isfinite(table).all(axis=1) for table in (crystals, known))
    if usable.any() and of_known.any():
        found, place = KDTree(known[of_known]).query(crystals[usable], p=np.inf)
        distance[usable], row[usable] = found, np.flatnonzero(of_known)[place]
    return distance, row
