"""SevenNet, an equivariant network (Park et al., J. Chem. Theory Comput. 20, 4857, 2024).

The wheel of the package ``sevenn`` contains SevenNet-0 and others; larger models are downloaded by
the package. Trained on Materials Project energies without corrections, 7net-omat on OMat24. The
package unpickles any object that the file names; a file that names more than arrays is therefore
rejected beforehand (:mod:`.pickles`).

The package adds up the energies of atoms and differentiates in modules that make the host wait for
a GPU, six times a batch. Here both are done without them, in the same order.
"""

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
# Of nine products of a vector and a slope, those that the package takes for the stress.
SYMMETRIC = [[0, 1, 6], [1, 4, 5], [6, 5, 8]]


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
        fidelity = _fidelity(model, network)
        self.energy_convention: EnergyConvention = (
            convention_of(self.version) if fidelity is None else "uncorrected"
        )
        self._fidelity = None if fidelity is None else network.modal_map[fidelity]
        self._cutoff = network.cutoff
        self.elements = frozenset(Element.from_Z(z).symbol for z in network.type_map)
        for module in ("reduce_total_enegy", "force_output"):
            network.delete_module_by_key(module)
        # The package uploads these two for each batch.
        network.z_to_onehot_tensor = network.z_to_onehot_tensor.to(self._device)
        network.eval_modal_map = False
        self._atomic_energies = network
        self._symmetric = torch.tensor(SYMMETRIC, device=self._device)

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        batch = Batch.from_data_list([self._graph(cell) for cell in cells])
        batch = batch.to(self._device, non_blocking=True)
        if self._fidelity is not None:
            batch[key.MODAL_TYPE] = torch.full((len(cells),), self._fidelity, device=self._device)
        with torch.set_grad_enabled(forces):
            batch = self._atomic_energies(batch)
            atomic = batch[key.ATOMIC_ENERGY].squeeze(1)
            energies = atomic.new_zeros(len(cells)).index_add_(0, batch.batch, atomic)
        if not forces:
            return Results(energies)
        vectors = batch[key.EDGE_VEC]  # from the first atom of an edge to the second
        (slopes,) = torch.autograd.grad(energies.sum(), [vectors])
        zero = slopes.new_zeros(len(atomic), 3)
        first, second = batch[key.EDGE_IDX]
        on_atoms = zero.index_add(0, first, slopes) - zero.index_add(0, second, slopes)
        products = (vectors.detach()[:, :, None] * slopes[:, None, :]).flatten(1)
        of_atoms = slopes.new_zeros(len(atomic), 9).index_add_(0, second, products)
        virials = slopes.new_zeros(len(cells), 9).index_add_(0, batch.batch, of_atoms)
        stresses = virials[:, self._symmetric] / batch[key.CELL_VOLUME][:, None, None]
        return Results(energies, on_atoms, stresses)

    def _graph(self, cell: Cell) -> AtomGraphData:
        return AtomGraphData.from_numpy_dict(
            unlabeled_atoms_to_graph(ase_atoms(cell), self._cutoff)
        )


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
