"""CHGNet 0.3.0, whose weights lie in its wheel (Deng et al., Nat. Mach. Intell. 5, 1031, 2023).

Trained on MPtrj energies *with* the MP2020 corrections: nothing may be corrected again.

The package differentiates twice and once each for forces and stress, as training needs. Here one
backward pass gives both, with the weights frozen: about five times the evaluations per second.
The price is one call of ``CHGNet._compute``, which the pinned version keeps stable.
"""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import chgnet
import numpy as np
import torch
from chgnet.model.model import BatchedGraph, CHGNet
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from crystalformer_rl.potentials.base import EnergyConvention, Evaluation
from crystalformer_rl.potentials.batching import BatchedPotential, array
from crystalformer_rl.potentials.known import weights_digest


class Chgnet(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``chgnet`` package.

    Its evaluations carry (64,) features. An atom that has no neighbour within 6 Å raises a
    ``ValueError``: CHGNet sees nothing of it.
    """

    name = "chgnet"
    version = "0.3.0"
    energy_convention: EnergyConvention = "mp2020_corrected"

    def __init__(self, *, device: str = "cpu") -> None:
        super().__init__(device=device)
        with contextlib.redirect_stdout(io.StringIO()):
            model = CHGNet.load(model_name=self.version, use_device=device, verbose=False)
        model.eval()
        model.requires_grad_(requires_grad=False)
        model.graph_converter.set_isolated_atom_response("error")
        self._model = model
        folder = Path(chgnet.__file__).parent / "pretrained" / self.version
        self.digest = weights_digest(folder.glob("*.pth.tar"), package="chgnet")
        seen = model.composition_model.fc.weight.view(-1) != 0
        self.elements = frozenset(
            Element.from_Z(z + 1).symbol for z in torch.nonzero(seen).view(-1).tolist()
        )

    def _evaluate(self, structures: Sequence[Structure], *, forces: bool) -> list[Evaluation]:
        model = self._model
        graphs = [model.graph_converter(structure).to(self._device) for structure in structures]
        with torch.set_grad_enabled(forces):
            batch = BatchedGraph.from_graphs(
                graphs,
                bond_basis_expansion=model.bond_basis_expansion,
                angle_basis_expansion=model.angle_basis_expansion,
                compute_stress=forces,
            )
            answer = model._compute(batch, return_crystal_feas=True)
            counts = answer["atoms_per_graph"]
            interaction = answer["e"] * counts
        energies = interaction.detach() + model.composition_model(graphs).detach() * counts
        features = answer["crystal_fea"].detach() / counts[:, None]
        gradients: list[NDArray[np.float64]] = []
        strains: list[NDArray[np.float64]] = []
        if forces:
            leaves = [*batch.atom_positions, *batch.strains]
            slopes = [array(g) for g in torch.autograd.grad(interaction.sum(), leaves)]
            gradients, strains = slopes[: len(graphs)], slopes[len(graphs) :]
        return [
            Evaluation(
                energy=float(energies[i]),
                forces=-gradients[i] if forces else None,
                stress=strains[i] / float(batch.volumes[i]) if forces else None,
                features=array(features[i]),
            )
            for i in range(len(graphs))
        ]


def build(_model: str | None, *, device: str) -> Chgnet:
    """CHGNet 0.3.0."""
    return Chgnet(device=device)
