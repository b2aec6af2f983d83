"""How far relaxation has moved the atoms: the RMSD that MatterGen reports.

Zeni et al., Nature 639, 624 (2025), as its public evaluator computes it
(``microsoft/mattergen``, ``evaluation/utils/utils.py``, ``compute_rmsd_angstrom``): pymatgen's RMS
distance between the relaxed crystal and the generated one, the latter idealised to the symmetry
that spglib finds, with tolerances so wide that the atoms are mostly aligned even where the two are
no longer the same, supercells tried and volumes not scaled. What still cannot be aligned counts
with the largest distance that would, so that all relaxed crystals are in the mean.

The distance is in units of the length per atom (V/N)^(1/3). As there, V is the volume of the mean
of the two cells' parameters in whichever setting each is given, and N the atoms of the relaxed one.
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
    """``rmsd`` (n,) in Å, NaN for what was not relaxed; and whether the atoms were aligned."""
    rmsd = np.full(len(generated.structures), np.nan)
    matched = np.zeros(len(rmsd), dtype=bool)
    for row, before in enumerate(generated.structures):
        after = generated.candidates[row]
        if before and after is not None and generated.relaxed[row]:
            rmsd[row], matched[row] = displacement(MatchingCell(before), after)
    return {"rmsd": rmsd, "rmsd_matched": matched}


def displacement(before: MatchingCell, after: MatchingCell) -> tuple[float, bool]:
    """RMSD between a generated and its relaxed crystal, Å, and whether the two were aligned."""
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
