"""Orb v2 and v3 (Neumann et al., arXiv 2410.22570; Rhodes et al., arXiv 2504.06231).

The weights are downloaded by the package or read from a file. Trained on energies without
corrections, models with omat in their name on OMat24. Not supported are models with dispersion,
whose energies are not compatible with the reference hulls, models of molecules, which need charge
and spin, and v1, which the package no longer supports.
"""

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from cached_path import cached_path
from orb_models.forcefield.atomic_system import ase_atoms_to_atom_graphs
from orb_models.forcefield.base import AtomGraphs, batch_graphs
from orb_models.forcefield.pretrained import ORB_PRETRAINED_MODELS
from pymatgen.core import Element

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import convention_of
from crystalformer_rl.potentials.batching import BatchedPotential, Results, ase_atoms
from crystalformer_rl.potentials.self_test import weights_digest

MODELS = (
    "orb-v2",
    "orb-mptraj-only-v2",
    *(
        f"orb-v3-{kind}-{neighbours}-{labels}"
        for kind in ("conservative", "direct")
        for neighbours in ("20", "inf")
        for labels in ("omat", "mpa")
    ),
)
# Plutonium is the heaviest element of the training sets; they have no crystals of these five.
HEAVIEST, UNSEEN = 94, ("Po", "At", "Rn", "Fr", "Ra")
# Index among the six components, in ASE's order, of each of the nine.
VOIGT = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]


class Orb(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``orb-models`` package.

    Parameters
    ----------
    model
        One of ``MODELS``, or a file of weights whose name begins with one of them, as the names of
        the published files do: the weights do not contain the number of neighbours of an atom.

    Raises
    ------
    ValueError
        If the name is not one of these.
    FileNotFoundError
        If the file does not exist.
    """

    name = "orb"

    def __init__(self, model: str, *, device: str = "cpu") -> None:
        super().__init__(device=device)
        self.version = Path(model).name
        self.energy_convention = convention_of(self.version)
        known = [name for name in MODELS if self.version.startswith(name)]
        if not known:
            raise ValueError(
                f"orb model {model!r}: its name must begin with one of {', '.join(MODELS)}"
            )
        loader = ORB_PRETRAINED_MODELS[max(known, key=len)]
        address = inspect.signature(loader).parameters["weights_path"].default
        weights = Path(cached_path(address if model in MODELS else model))
        self.digest = weights_digest([weights], package="orb-models")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting global torch default dtype")
            warnings.filterwarnings("ignore", "Consider passing 'precision=float32-high'")
            self._model = loader(
                weights_path=str(weights),
                device=self._device,
                precision="float32-highest",
                compile=False,
            )
        self.elements = frozenset(
            symbol
            for z in range(1, HEAVIEST + 1)
            if (symbol := Element.from_Z(z).symbol) not in UNSEEN
        )

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        graphs = [
            ase_atoms_to_atom_graphs(
                ase_atoms(cell), self._model.system_config, device=self._device
            )
            for cell in cells
        ]
        batch = batch_graphs(graphs)
        if not forces:
            return Results(self._energies(batch))
        # A conservative model differentiates its energy; a direct one has separate output heads.
        prefix = "grad_" if hasattr(self._model, "grad_forces_name") else ""
        with torch.set_grad_enabled(bool(prefix)):
            answer = self._model.predict(batch)
        return Results(
            answer["energy"],
            answer[f"{prefix}forces"],
            answer[f"{prefix}stress"][:, VOIGT],
        )

    @torch.no_grad()
    def _energies(self, batch: AtomGraphs) -> torch.Tensor:
        """(m,) energies, eV, without the backward pass of ``predict``."""
        features = self._model.model(batch)["node_features"]
        energies: torch.Tensor = self._model.heads["energy"].predict(features, batch)
        if self._model.pair_repulsion:
            energies = energies + self._model.pair_repulsion_fn(batch)["energy"]
        return energies


def build(model: str, *, device: str) -> Orb:
    """Load Orb by the name of a pretrained model or from a file of weights."""
    return Orb(model, device=device)
