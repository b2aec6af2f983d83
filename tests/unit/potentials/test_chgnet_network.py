"""CHGNet without its package's loops: the same graph and the same answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from chgnet.model.model import CHGNet
from helpers.laws import rattled_crystals
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.potentials.chgnet_graph import Graph, graph_of
from crystalformer_rl.potentials.chgnet_network import Network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def package() -> CHGNet:
    torch.set_num_threads(1)
    model = CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False)
    return model.eval().requires_grad_(requires_grad=False)


def graph(*structures: Structure) -> Graph:
    return graph_of(cells_from(structures), cutoff=6.0, short_cutoff=3.0, device=CPU)


def in_order(key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """(k, 2) rows of a key and a number, sorted."""
    order = np.lexsort((value, key))
    return torch.column_stack([key, value])[torch.from_numpy(order)]


@st.composite
def crystals(draw: st.DrawFn) -> Structure:
    """Crystals of one to four atoms in skewed cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 4))
    cell = np.eye(3) * rng.uniform(2.4, 4.0, size=3) + 0.5 * rng.uniform(-1, 1, size=(3, 3))
    return Structure(Lattice(cell), ["Na"] * count, rng.uniform(size=(count, 3)))


@settings(max_examples=15)
@given(crystals())
def test_the_graph_is_the_packages(package: CHGNet, structure: Structure) -> None:
    ours, theirs = graph(structure), package.graph_converter(structure)
    where = theirs.atom_frac_coord.detach() @ theirs.lattice.detach()
    centre, other = theirs.atom_graph.long().T
    vectors = where[centre] - where[other] - theirs.neighbor_image @ theirs.lattice.detach()
    lengths = vectors.norm(dim=1)
    # Where rounding decides what is near, the graphs may differ.
    if (lengths - 3).abs().min() < 1e-4 or (lengths - 6).abs().min() < 1e-4:
        return

    def pairs(centre: torch.Tensor, other: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return in_order(10 * centre + other, vectors.norm(dim=1))

    torch.testing.assert_close(
        pairs(ours.centre, ours.other, ours.vectors), pairs(centre, other, vectors)
    )

    def angles(corner: torch.Tensor, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        return in_order(corner, (one + 2 * two).norm(dim=1))

    corner, _, one, _, two = theirs.bond_graph.long().reshape(-1, 5).T
    torch.testing.assert_close(
        angles(ours.corner, *ours.vectors[ours.arms]), angles(corner, vectors[one], vectors[two])
    )


@given(crystals())
def test_a_bond_is_a_neighbour_and_its_reverse(structure: Structure) -> None:
    found = graph(structure)
    assert (torch.bincount(found.bond) == 2).all()
    assert (found.bond[found.representative] == torch.arange(len(found.representative))).all()
    both = torch.zeros(len(found.representative), 3).index_add_(0, found.bond, found.vectors)
    assert both.abs().max() < 1e-5
    ends = found.centre - found.other
    assert (torch.zeros_like(found.representative).index_add_(0, found.bond, ends) == 0).all()
    lengths = found.vectors.norm(dim=1)
    assert (lengths[found.representative[found.short]] < 3.0001).all()
    assert (found.centre[found.arms] == found.corner).all()
    assert (found.short[found.arm_bonds] == found.bond[found.arms]).all()


def test_several_crystals_are_one_graph() -> None:
    structures = rattled_crystals()
    together, alone = graph(*structures), [graph(structure) for structure in structures]
    for name in ("numbers", "vectors"):
        joined = torch.cat([getattr(one, name) for one in alone])
        assert torch.equal(getattr(together, name), joined)
    assert torch.bincount(together.owner).tolist() == [len(structure) for structure in structures]
    assert (together.owner[together.centre] == together.owner[together.other]).all()
    assert len(together.corner) == sum(len(one.corner) for one in alone)


def test_an_atom_without_neighbours_is_refused() -> None:
    lonely = Structure(Lattice.cubic(14), ["Na", "Cl", "Na"], [[0, 0, 0], [0.2, 0, 0], [0.6] * 3])
    with pytest.raises(ValueError, match=r"Na2Cl: 1 of 3 atoms are isolated"):
        graph(lonely)


def slopes(network: Network, found: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    found.vectors.requires_grad_()
    energies, _ = network.energies(found)
    return energies.detach(), torch.autograd.grad(energies.sum(), [found.vectors])[0]


def test_the_answers_are_the_packages(package: CHGNet) -> None:
    structures = rattled_crystals()
    found = graph(*structures)
    energies, slope = slopes(Network(package), found)
    forces = torch.split(found.forces(slope), [len(structure) for structure in structures])
    references = package.composition_model.fc.weight.view(-1)
    _, features = Network(package).energies(found)
    for i, structure in enumerate(structures):
        count = len(structure)
        theirs = package.predict_structure(structure, return_crystal_feas=True)
        own = references[torch.tensor(structure.atomic_numbers) - 1].sum()
        assert float(energies[i] + own) == pytest.approx(count * float(theirs["e"]), abs=1e-5)
        np.testing.assert_allclose(forces[i], theirs["f"], atol=1e-4)
        stress = found.virials(slope)[i] / structure.volume
        np.testing.assert_allclose(stress, theirs["s"] / 160.21766208, atol=1e-5)
        np.testing.assert_allclose(
            features[i].detach() / count, theirs["crystal_fea"] / count, atol=1e-5
        )


def test_in_double_precision_the_forces_are_the_slope(package: CHGNet) -> None:
    structure = rattled_crystals()[1]
    double = CHGNet.from_dict(package.as_dict()).double().eval().requires_grad_(requires_grad=False)
    network = Network(double)

    def found(positions: np.ndarray) -> Graph:
        moved = Structure(
            structure.lattice, structure.species, positions, coords_are_cartesian=True
        )
        one = graph(moved)
        centre, other = one.centre.numpy(), one.other.numpy()
        image = np.round(
            structure.lattice.get_fractional_coords(
                positions[centre] - positions[other] - one.vectors.numpy()
            )
        )
        exact = positions[centre] - positions[other] - image @ structure.lattice.matrix
        return replace(one, vectors=torch.tensor(exact))

    start, step = structure.cart_coords, 1e-4
    graph_here = found(start)
    forces = graph_here.forces(slopes(network, graph_here)[1])
    for atom, axis in ((0, 0), (3, 1)):
        shift = np.zeros_like(start)
        shift[atom, axis] = step
        up, down = (float(network.energies(found(start + s * shift))[0]) for s in (1, -1))
        assert float(forces[atom, axis]) == pytest.approx((down - up) / (2 * step), abs=1e-6)
