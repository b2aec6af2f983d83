"""Potentials of the package ``matgl``: TensorNet, M3GNet and others, from a folder or its hub.

A folder written by an older version of the package can load without an error and give wrong
energies, because the two ends of an edge were exchanged since then: the self-test detects this. The
package reads weights without running code, but calls the classes that a folder names: classes of
other packages are rejected.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matgl
import torch
from ase.units import GPa
from matgl.apps.pes import Potential as PackagePotential
from matgl.ext.pymatgen import Structure2Graph
from matgl.utils.io import _get_file_paths
from torch_geometric.data import Batch

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import convention_of
from crystalformer_rl.potentials.batching import BatchedPotential, Results
from crystalformer_rl.potentials.pickles import read_without_code, refuse_unless_trusted
from crystalformer_rl.potentials.self_test import weights_digest

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
OWN_MODULE = re.compile(r"matgl\.(models|apps)(\.\w+)*")
STATES = 2


class Matgl(BatchedPotential):
    """The :class:`~crystalformer_rl.potentials.base.Potential` of a ``matgl`` model.

    A model whose name contains MatPES or OMat was trained on those energies, any other on the
    Materials Project's without corrections.

    Raises
    ------
    ValueError
        If the folder or model does not exist, names classes of other packages and is not trusted,
        or does not predict energies.
    """

    name = "matgl"

    def __init__(self, model: str, *, device: str = "cpu", trust_pickles: bool = False) -> None:
        super().__init__(device=device)
        self.version = Path(model).name
        self.energy_convention = convention_of(self.version)
        files = model_files(model, trust_pickles=trust_pickles)
        self.digest = weights_digest(files.values(), package="matgl")
        potential = matgl.load_model(files["model.json"].parent)
        if not isinstance(potential, PackagePotential):
            raise ValueError(  # noqa: TRY004
                f"matgl model {model!r} is a {type(potential).__name__}, not a potential"
            )
        potential = potential.to(self._device).eval()
        self._potential = potential.requires_grad_(requires_grad=False)
        elements = potential.model.element_types
        self._converter = Structure2Graph(elements, potential.model.cutoff)
        self.elements = frozenset(elements)

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        structures = [cell.structure() for cell in cells]
        graphs, lattices, _ = zip(*map(self._converter.get_graph, structures), strict=True)
        potential = self._potential
        potential.calc_forces = potential.calc_stresses = forces
        energies, each_force, stresses, *_ = potential(
            Batch.from_data_list(list(graphs)).to(self._device),
            torch.cat(lattices).to(self._device),
            torch.zeros((len(cells), STATES), device=self._device),
        )
        energies = energies.reshape(-1)
        if not forces:
            return Results(energies)
        return Results(energies, each_force, stresses.reshape(-1, 3, 3) * GPa)


def model_files(model: str, *, trust_pickles: bool) -> dict[str, Path]:
    """The files of a model, by its folder or its name on the hub.

    Raises
    ------
    ValueError
        If there is no such model, or it names classes of other packages and is not trusted.
    """
    if not Path(model).is_dir() and not HUB_NAME.fullmatch(model):
        raise ValueError(f"matgl model {model!r}: no such folder, and not a name on the hub")
    found = _get_file_paths(Path(model), str_path=model)
    files = {name: Path(path) for name, path in found.items()}
    _refuse_foreign_classes(files, trusted=trust_pickles)
    return files


def _refuse_foreign_classes(files: Mapping[str, Path], *, trusted: bool) -> None:
    description = json.loads(files["model.json"].read_text(encoding="utf-8"))
    arguments = read_without_code(files["model.pt"])
    for part in (description, *arguments.values()):
        name = part.get("@module") if isinstance(part, Mapping) else None
        if name is not None and not OWN_MODULE.fullmatch(str(name)):
            where = files["model.json"].parent / "model.pt"
            problem = f"names a class of {name!r}, which is not part of matgl"
            refuse_unless_trusted(where, trusted=trusted, problem=problem)


def build(model: str, *, device: str, trust_pickles: bool) -> Matgl:
    """Load a matgl potential by its folder or its name on the hub."""
    return Matgl(model, device=device, trust_pickles=trust_pickles)
