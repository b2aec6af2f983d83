"""Displacement of the atoms by relaxation: the RMSD that MatterGen reports.

Zeni et al., Nature 639, 624 (2025), as its public evaluator computes it
(``microsoft/mattergen``, ``evaluation/utils/utils.py``, ``compute_rmsd_angstrom``): pymatgen's RMS
distance between the relaxed crystal and the generated one, which is first idealised to the symmetry
that spglib finds. Supercells are tried and volumes are not scaled. The tolerances are so wide that
most pairs can be aligned, even if they are no longer the same crystal. A pair that cannot be
aligned counts with the largest distance allowed, so that the mean includes all relaxed crystals.

pymatgen's distance is in units of the length per atom, (V/N)^(1/3). As in MatterGen, V is the
volume of the cell with the mean of the two cells' parameters, each in the setting in which it is
given, and N is the number of atoms of the relaxed cell.
"""

from typing import Any

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.matching import IRREDUCIBLE, MatchingCell

LARGEST = 0.5
MATCHER = StructureMatcher(
    ltol=0.5, stol=LARGEST, angle_tol=10, scale=False, attempt_supercell=True
)


def displacement_columns(generated: Generated) -> dict[str, Any]:
    """``rmsd`` (n,) in Å, NaN if not relaxed, and whether the atoms could be aligned."""
    rmsd = np.full(len(generated.cells), np.nan)
    matched = np.zeros(len(rmsd), dtype=bool)
    for row, before in enumerate(generated.structures):
        after = generated.candidates[row]
        if before and after is not None and generated.relaxed[row]:
            rmsd[row], matched[row] = displacement(MatchingCell(before), after)
    return {"rmsd": rmsd, "rmsd_matched": matched}


def displacement(before: MatchingCell, after: MatchingCell) -> tuple[float, bool]:
    """RMSD between a generated and its relaxed crystal, Å, and whether they could be aligned."""
    ideal, distance = before.structure, None
    if before.problem is None and after.problem is None:
        try:
            ideal = _idealised(before.structure)
            distance = MATCHER.get_rms_dist(after.structure, ideal)
        except IRREDUCIBLE:  # no symmetry or no cell found: counts as what cannot be aligned
            distance = None
    parameters = [after.structure.lattice.parameters, ideal.lattice.parameters]
    volume = Lattice.from_parameters(*np.mean(parameters, axis=0)).volume
    units = LARGEST if distance is None else distance[0]
    return float(units * (volume / len(after.structure)) ** (1 / 3)), distance is not None


def _idealised(structure: Structure) -> Structure:
    """A primitive cell with the symmetry that spglib finds within 0.01 Å; ValueError if none."""
    refined = SpacegroupAnalyzer(structure).get_refined_structure()
    return refined.get_primitive_structure().get_reduced_structure(reduction_algo="LLL")
