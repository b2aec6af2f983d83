"""Nequix, a small equivariant network (Koker et al., arXiv 2508.16067), from a file of weights.

Trained on energies without corrections, models with omat in their name on OMat24. The package's
torch network is also used for weights saved by JAX, because JAX compiles for about 20 seconds for
every new batch size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import torch
from nequix.data import atomic_numbers_to_indices, dict_to_pytorch_geometric, preprocess_graph
from nequix.model import load_model as load_jax
from nequix.torch_impl.model import NequixTorch
from nequix.torch_impl.model import load_model as load_torch
from nequix.torch_impl.utils import convert_model_jax_to_torch
from pymatgen.core import Element
from torch_geometric.data import Batch, Data

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import convention_of
from crystalformer_rl.potentials.batching import BatchedPotential, Results, ase_atoms
from crystalformer_rl.potentials.self_test import weights_digest


class Nequix(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``nequix`` package.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    """

    name = "nequix"

    def __init__(self, model: str, *, device: str = "cpu") -> None:
        super().__init__(device=device)
        path = Path(model)
        self.version = path.name
        self.energy_convention = convention_of(self.version)
        self.digest = weights_digest([path], package="nequix")
        network, config = _network(path)
        self._network = network.to(self._device).eval().requires_grad_(requires_grad=False)
        self._cutoff = config["cutoff"]
        self._indices = atomic_numbers_to_indices(config["atomic_numbers"])
        self.elements = frozenset(Element.from_Z(z).symbol for z in self._indices)

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        batch = Batch.from_data_list([self._graph(cell) for cell in cells])
        batch = batch.to(self._device)
        if not forces:
            return Results(self._sum(self._atomic_energies(batch), batch))
        energies, each_force, stresses = self._network(
            batch.x,
            batch.positions,
            batch.edge_attr,
            batch.edge_index,
            batch.cell,
            batch.n_node,
            batch.n_edge,
            batch.batch,
        )
        return Results(self._sum(energies, batch), each_force, stresses)

    def _graph(self, cell: Cell) -> Data:
        return dict_to_pytorch_geometric(
            preprocess_graph(ase_atoms(cell), self._indices, self._cutoff, targets=False)
        )

    @torch.no_grad()
    def _atomic_energies(self, batch: Batch) -> torch.Tensor:
        """(n,) energies of the atoms, eV, without the backward pass of the network."""
        senders, receivers = batch.edge_index
        cells = batch.cell[batch.batch[senders]]
        edges = batch.positions[senders] - batch.positions[receivers]
        edges = edges + torch.einsum("ei,eij->ej", batch.edge_attr, cells)
        energies: torch.Tensor = self._network.node_energies(edges, batch.x, senders, receivers)
        return energies[:, 0]

    def _sum(self, energies: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(m,) energies of the crystals, eV, from (n,) energies of their atoms."""
        total = torch.zeros(batch.num_graphs, dtype=energies.dtype, device=energies.device)
        return total.index_add(0, batch.batch, energies.detach())


def _network(path: Path) -> tuple[NequixTorch, dict[str, Any]]:
    if path.suffix == ".nqx":
        # JAX only reads the file. On a GPU it would reserve most of the memory permanently.
        jax.config.update("jax_platforms", "cpu")
        network, config = convert_model_jax_to_torch(
            *load_jax(path, kernel=False), use_kernel=False
        )
    else:
        network, config = load_torch(path, use_kernel=False)
    return network, config


def build(model: str, *, device: str) -> Nequix:
    """Load Nequix from a file of weights."""
    return Nequix(model, device=device)
