"""CHGNet 0.3.0, whose weights lie in its wheel (Deng et al., Nat. Mach. Intell. 5, 1031, 2023).

Trained on MPtrj energies *with* the MP2020 corrections: nothing may be corrected again.

The package differentiates twice and once each for forces and stress, as training needs. Here one
backward pass gives both, with the weights frozen: about five times the evaluations per second.
The price is one call of ``CHGNet._compute``, which the pinned version keeps stable.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model.model import BatchedGraph, CHGNet
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from crystalformer_rl.potentials.base import Evaluation

ATOMS_PER_BATCH = {"cpu": 96, "cuda": 4096}


class Chgnet:
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``chgnet`` package."""

    name = "chgnet"
    version = "0.3.0"
    energy_convention: Literal["mp2020_corrected", "uncorrected"] = "mp2020_corrected"

    def __init__(self, *, device: str = "cpu") -> None:
        self._device = device
        with contextlib.redirect_stdout(io.StringIO()):
            model = CHGNet.load(model_name=self.version, use_device=device, verbose=False)
        model.eval()
        model.requires_grad_(requires_grad=False)
        model.graph_converter.set_isolated_atom_response("error")
        self._model = model
        seen = model.composition_model.fc.weight.view(-1) != 0
        self.elements = frozenset(
            Element.from_Z(z + 1).symbol for z in torch.nonzero(seen).view(-1).tolist()
        )

    def evaluate(self, structures: Sequence[Structure], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate ``structures``; energies in eV per cell, eV/Å, eV/Å³, and (64,) features.

        Raises
        ------
        ValueError
            If an atom has no neighbour within 6 Å: CHGNet sees nothing of it.
        """
        results: list[Evaluation] = []
        for batch in self._batches(structures):
            graphs = [self._graph(structure) for structure in batch]
            results += self._evaluate(graphs, forces=forces)
        return results

    def _batches(self, structures: Sequence[Structure]) -> Iterator[list[Structure]]:
        """Consecutive structures, at most so many atoms at a time."""
        limit = ATOMS_PER_BATCH[torch.device(self._device).type]
        batch: list[Structure] = []
        atoms = 0
        for structure in structures:
            if batch and atoms + len(structure) > limit:
                yield batch
                batch, atoms = [], 0
            batch.append(structure)
            atoms += len(structure)
        if batch:
            yield batch

    def _graph(self, structure: Structure) -> CrystalGraph:
        return self._model.graph_converter(structure).to(self._device)

    def _evaluate(self, graphs: list[CrystalGraph], *, forces: bool) -> list[Evaluation]:
        model = self._model
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
            slopes = [_array(g) for g in torch.autograd.grad(interaction.sum(), leaves)]
            gradients, strains = slopes[: len(graphs)], slopes[len(graphs) :]
        return [
            Evaluation(
                energy=float(energies[i]),
                forces=-gradients[i] if forces else None,
                stress=strains[i] / float(batch.volumes[i]) if forces else None,
                features=_array(features[i]),
            )
            for i in range(len(graphs))
        ]


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
