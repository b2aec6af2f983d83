"""MACE (Batatia et al., NeurIPS 2022; arXiv 2401.00096), from a ``.model`` file.

Trained on energies without corrections. The precision is the one in which the file was saved.
The file is a pickle of the network and its code, which a restricted reader cannot load: the user
has to trust it (:mod:`.pickles`).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from mace.data import AtomicData, config_from_atoms
from mace.tools import AtomicNumberTable
from mace.tools.torch_geometric import Batch
from mace.tools.torch_tools import default_dtype
from pymatgen.core import Element

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import convention_of
from crystalformer_rl.potentials.batching import BatchedPotential, Results, ase_atoms
from crystalformer_rl.potentials.pickles import refuse_unless_trusted
from crystalformer_rl.potentials.self_test import weights_digest


class Mace(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``mace-torch`` package.

    A model whose file name contains MatPES or OMat was trained on those energies, any other on the
    Materials Project's without corrections.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not trusted, or has several heads and none is called ``default``.
    """

    name = "mace"

    def __init__(self, model: str, *, device: str = "cpu", trust_pickles: bool = False) -> None:
        super().__init__(device=device)
        path = Path(model)
        self.version = path.name
        self.energy_convention = convention_of(self.version)
        refuse_unless_trusted(path, trusted=trust_pickles)
        self.digest = weights_digest([path], package="mace-torch")
        network = torch.load(path, map_location=self._device, weights_only=False)
        self._network = network.eval().requires_grad_(requires_grad=False)
        self._heads: list[str] = getattr(network, "heads", ["Default"])
        self._head = _head(path, self._heads)
        self._cutoff = float(network.r_max)
        self._dtype = {torch.float32: "float32", torch.float64: "float64"}[
            next(network.parameters()).dtype
        ]
        numbers = network.atomic_numbers.tolist()
        self._table = AtomicNumberTable(numbers)
        self.elements = frozenset(Element.from_Z(z).symbol for z in numbers)

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        with default_dtype(self._dtype):
            graphs = [self._graph(cell) for cell in cells]
        batch = Batch.from_data_list(graphs).to(self._device)
        with torch.set_grad_enabled(forces):
            answer = self._network(
                batch.to_dict(), compute_force=forces, compute_stress=forces, training=False
            )
        return Results(answer["energy"], answer["forces"], answer["stress"])

    def _graph(self, cell: Cell) -> AtomicData:
        return AtomicData.from_config(
            config_from_atoms(ase_atoms(cell), head_name=self._head),
            z_table=self._table,
            cutoff=self._cutoff,
            heads=self._heads,
        )


def _head(path: Path, heads: list[str]) -> str:
    chosen = heads if len(heads) == 1 else [name for name in heads if name.lower() == "default"]
    if not chosen:
        raise ValueError(f"{path}: none of the heads {', '.join(heads)} is called 'default'")
    return chosen[0]


def build(model: str, *, device: str, trust_pickles: bool) -> Mace:
    """Load MACE from a ``.model`` file."""
    return Mace(model, device=device, trust_pickles=trust_pickles)
