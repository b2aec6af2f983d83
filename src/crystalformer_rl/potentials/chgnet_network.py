"""CHGNet's network with frozen weights, arranged for a fast evaluation.

Equations and weights are those of the package (Deng et al., Nat. Mach. Intell. 5, 1031, 2023).
Three things are computed in a different order, which changes the last digits only:

* The first linear layer of a message is applied to atoms and bonds before they are gathered. The
  package gathers and concatenates first, which repeats the product for each neighbour of an atom.
* Only short bonds are updated; the update of the others is zero.
* The last update of the angles is omitted, because its result is not used.

The harmonics of the angles are written out, because the package's write a number of the CPU among
them, for which the host waits until a GPU has built the graph.
"""

import math
from typing import Any

import torch
from torch.nn import functional

from crystalformer_rl.potentials.chgnet_graph import Graph


class _Message:
    """Gated perceptron of a layer: silu(norm(core)) · sigmoid(norm(gate)).

    Parameters
    ----------
    perceptron
        A ``GatedMLP`` of the package.
    width
        Number of features of each input that the package concatenates.
    """

    def __init__(self, perceptron: Any, *, width: int) -> None:
        linear = torch.nn.Linear
        core, gate = (
            [layer for layer in branch.layers if isinstance(layer, linear)]
            for branch in (perceptron.mlp_core, perceptron.mlp_gate)
        )
        weight = torch.cat([core[0].weight, gate[0].weight]).T
        self._weights = [part.contiguous() for part in torch.split(weight, width)]
        self._bias = torch.cat([core[0].bias, gate[0].bias])
        self._second = (core[1], gate[1]) if len(core) > 1 else None
        self._norms = perceptron.bn1, perceptron.bn2

    def __call__(self, *inputs: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
        """(k, width) messages from ``inputs``: pairs of features and k row indices (None: all)."""
        inplace = not torch.is_grad_enabled()  # a gradient needs the numbers in between
        (features, indices), *others = inputs
        total = _rows(features @ self._weights[0] + self._bias, indices)
        for (features, indices), weight in zip(others, self._weights[1:], strict=True):
            total += _rows(features @ weight, indices)
        if self._second is None:
            core, gate = total.chunk(2, dim=1)
        else:
            core, gate = functional.silu(total, inplace=inplace).chunk(2, dim=1)
            core, gate = self._second[0](core), self._second[1](gate)
        core = functional.silu(self._norms[0](core), inplace=inplace)
        gate = self._norms[1](gate)
        return core.mul_(gate.sigmoid_()) if inplace else core * gate.sigmoid()


def _rows(table: torch.Tensor, indices: torch.Tensor | None) -> torch.Tensor:
    return table if indices is None else table.index_select(0, indices)


def _harmonics(
    first: torch.Tensor, second: torch.Tensor, frequencies: torch.Tensor
) -> torch.Tensor:
    """(a, 1 + 2 k) Fourier terms of the angles between unit vectors (a, 3); (k,) frequencies."""
    cosines = (first * second).sum(dim=1) * (1 - 1e-6)  # acos has no slope at 1
    phases = torch.outer(cosines.acos(), frequencies)
    constant = phases.new_full((len(phases), 1), math.sqrt(0.5))
    return torch.cat([constant, phases.sin(), phases.cos()], dim=1) / math.sqrt(math.pi)


class Network:
    """Energies of a graph, without the reference energies of the elements.

    Parameters
    ----------
    model
        A ``chgnet.model.CHGNet``.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._frequencies = model.angle_basis_expansion.fourier_expansion.frequencies
        width = model.atom_fea_dim
        self._atoms = [
            (_Message(layer.twoBody_atom, width=width), layer.mlp_out)
            for layer in model.atom_conv_layers
        ]
        self._bonds = [
            (_Message(layer.twoBody_bond, width=width), layer.mlp_out)
            for layer in model.bond_conv_layers
        ]
        self._angles = [
            _Message(layer.twoBody_bond, width=width) for layer in model.angle_layers[:-1]
        ]

    def energies(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """(m,) eV per crystal, and (m, d) features summed over its atoms."""
        model = self._model
        expansion = model.bond_basis_expansion
        lengths = graph.vectors.index_select(0, graph.representative).norm(dim=1)
        basis = expansion.rbf_expansion_ag(lengths)
        atoms = model.atom_embedding(graph.numbers - 1)
        bonds = model.bond_embedding(basis)
        weights = model.bond_weights_ag(basis).index_select(0, graph.bond)
        near = model.bond_weights_bg(
            expansion.rbf_expansion_bg(lengths.index_select(0, graph.short))
        )
        first, second = graph.arm_bonds
        angle_weights = near.index_select(0, first) * near.index_select(0, second)
        one, two = (functional.normalize(graph.vectors.index_select(0, arm)) for arm in graph.arms)
        angles = model.angle_embedding(_harmonics(one, two, self._frequencies))

        for layer, (atom_message, to_atom) in enumerate(self._atoms):
            messages = atom_message(
                (atoms, graph.centre), (bonds, graph.bond), (atoms, graph.other)
            )
            total = torch.zeros_like(atoms).index_add_(0, graph.centre, messages * weights)
            atoms = to_atom(total) + atoms
            if layer < len(self._bonds):
                bond_message, to_bond = self._bonds[layer]
                short = bonds.index_select(0, graph.short)
                messages = bond_message(
                    (short, first), (short, second), (angles, None), (atoms, graph.corner)
                )
                total = torch.zeros_like(short).index_add_(0, first, messages * angle_weights)
                bonds = bonds.index_add(0, graph.short, to_bond(total))
            if layer < len(self._angles):
                short = bonds.index_select(0, graph.short)
                angles = angles + self._angles[layer](
                    (short, first), (short, second), (angles, None), (atoms, graph.corner)
                )
        atoms = model.readout_norm(atoms)
        energies = atoms.new_zeros(graph.crystals)
        features = atoms.new_zeros(graph.crystals, atoms.shape[1])
        return (
            energies.index_add_(0, graph.owner, model.mlp(atoms).view(-1)),
            features.index_add_(0, graph.owner, atoms),
        )
