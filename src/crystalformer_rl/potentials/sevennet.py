"""SevenNet, an equivariant network (Park et al., J. Chem. Theory Comput. 20, 4857, 2024).

The wheel of the package ``sevenn`` contains SevenNet-0 and others; larger models are downloaded by
the package. Trained on Materials Project energies without corrections, 7net-omat on OMat24. The
package unpickles any object that the file names; a file that names more than arrays is therefore
rejected beforehand (:mod:`.pickles`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import sevenn._keys as key
import torch
from pymatgen.core import Element
from sevenn.atom_graph_data import AtomGraphData
from sevenn.nn.sequential import AtomGraphSequential
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import load_checkpoint
from torch_geometric.data import Batch

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import EnergyConvention, convention_of
from crystalformer_rl.potentials.batching import BatchedPotential, Results, ase_atoms
from crystalformer_rl.potentials.pickles import refuse_unless_harmless
from crystalformer_rl.potentials.self_test import weights_digest

# Names of the Materials Project's labels in a model that was trained with several fidelities.
FIDELITIES = ("mpa", "PBE")
# Index among the six components, in the package's order, of each of the nine.
VOIGT = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]


class SevenNet(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of the ``sevenn`` package.

    Raises
    ------
    ValueError
        If the model does not exist, its file could run code and is not trusted, or none of its
        fidelities is the Materials Project's.
    """

    name = "sevennet"

    def __init__(self, model: str, *, device: str = "cpu", trust_pickles: bool = False) -> None:
        super().__init__(device=device)
        checkpoint = load_checkpoint(model)
        self.version = Path(model).name
        path = Path(checkpoint.checkpoint_path)
        refuse_unless_harmless(path, trusted=trust_pickles)
        self.digest = weights_digest([path], package="sevenn")
        network = checkpoint.build_model().to(self._device).eval()
        network.requires_grad_(requires_grad=False)
        network.set_is_batch_data(True)
        self._fidelity = _fidelity(model, network)
        self.energy_convention: EnergyConvention = (
            convention_of(self.version) if self._fidelity is None else "uncorrected"
        )
        self._cutoff = network.cutoff
        self.elements = frozenset(Element.from_Z(z).symbol for z in network.type_map)
        # The last module differentiates. It is separated, so that energies need no backward pass.
        modules = network._modules
        self._differentiate = modules["force_output"]
        network._modules = OrderedDict(
            (name, module) for name, module in modules.items() if name != "force_output"
        )
        self._energies = network

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        batch = Batch.from_data_list([self._graph(cell) for cell in cells])
        batch = batch.to(self._device)
        with torch.set_grad_enabled(forces):
            batch = self._energies(batch)
            if not forces:
                return Results(batch[key.PRED_TOTAL_ENERGY])
            batch = self._differentiate(batch)
        return Results(
            batch[key.PRED_TOTAL_ENERGY],
            batch[key.PRED_FORCE],
            # The package's stress has the opposite sign: positive if growing lowers the energy.
            -batch[key.PRED_STRESS][:, VOIGT],
        )

    def _graph(self, cell: Cell) -> AtomGraphData:
        graph = AtomGraphData.from_numpy_dict(
            unlabeled_atoms_to_graph(ase_atoms(cell), self._cutoff)
        )
        if self._fidelity is not None:
            graph[key.DATA_MODALITY] = self._fidelity
        return graph


def _fidelity(model: str, network: AtomGraphSequential) -> str | None:
    if not network.modal_map:
        return None
    for name in FIDELITIES:
        if name in network.modal_map:
            return name
    raise ValueError(
        f"sevennet model {model!r} has the fidelities {', '.join(network.modal_map)}, but none of "
        f"them is {' or '.join(FIDELITIES)}"
    )


def build(model: str, *, device: str, trust_pickles: bool) -> SevenNet:
    """Load SevenNet by the name of a pretrained model or the path of a checkpoint."""
    return SevenNet(model, device=device, trust_pickles=trust_pickles)
