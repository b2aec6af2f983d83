"""CHGNet 0.3.0, with the weights in its wheel (Deng et al., Nat. Mach. Intell. 5, 1031, 2023).

Trained on MPtrj energies *with* the MP2020 corrections: they must not be applied again.

The package computes forces and stress in two backward passes that are differentiable again, as
training needs, and loops over bonds and angles in Python. Here the graph is built with array
operations (:mod:`.chgnet_graph`), and one backward pass with respect to the vectors between atoms
yields forces and stress (:mod:`.chgnet_network`).
"""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import chgnet
import numpy as np
import torch
from chgnet.model.model import CHGNet
from pymatgen.core import Element

from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.jobs.device import uploaded
from crystalformer_rl.potentials.base import EnergyConvention
from crystalformer_rl.potentials.batching import BatchedPotential, Results, array
from crystalformer_rl.potentials.chgnet_graph import graph_of
from crystalformer_rl.potentials.chgnet_network import Network
from crystalformer_rl.potentials.self_test import weights_digest


class Chgnet(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``chgnet`` package.

    Its evaluations contain (64,) features. An atom without a neighbour within 6 Å raises a
    ``ValueError``: such an atom does not appear in CHGNet's graph.
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
        self._model, self._network = model, Network(model)
        folder = Path(chgnet.__file__).parent / "pretrained" / self.version
        self.digest = weights_digest(folder.glob("*.pth.tar"), package="chgnet")
        self._references = array(model.composition_model.fc.weight.view(-1))
        self.elements = frozenset(
            Element.from_Z(z + 1).symbol for z in np.flatnonzero(self._references).tolist()
        )

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        converter = self._model.graph_converter
        graph = graph_of(
            cells,
            cutoff=converter.atom_graph_cutoff,
            short_cutoff=converter.bond_graph_cutoff,
            device=self._device,
        )
        graph.vectors.requires_grad_(forces)
        with torch.set_grad_enabled(forces):
            energies, features = self._network.energies(graph)
        counts = self._upload([len(cell) for cell in cells])
        references = self._upload([self._references[cell.numbers - 1].sum() for cell in cells])
        totals, means = energies.double() + references, features.double() / counts[:, None]
        if not forces:
            return Results(totals, features=means)
        (slopes,) = torch.autograd.grad(energies.sum(), [graph.vectors])
        volumes = self._upload([volume_of(cell.matrix) for cell in cells])
        stresses = graph.virials(slopes).double() / volumes[:, None, None]
        return Results(totals, graph.forces(slopes), stresses, means)

    def _upload(self, numbers: Sequence[float]) -> torch.Tensor:
        return uploaded(np.array(numbers, dtype=np.float64), self._device)


def build(_model: str | None, *, device: str) -> Chgnet:
    """CHGNet 0.3.0."""
    return Chgnet(device=device)
