"""The preferred description of a crystal, found quickly or by trying every description."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalformer_rl.crystal import symmetry, wyckoff
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.decoding import primitive_cell

FREE = np.array([0.123, 0.287, 0.411])
LATTICES = {
    2: [5.1, 6.2, 7.3, 1.4, 1.5, 1.6],
    12: [8.1, 5.2, 6.3, np.pi / 2, 1.8, np.pi / 2],
    62: [5.0, 6.4, 8.3, *[np.pi / 2] * 3],
    139: [4.2, 4.2, 11.9, *[np.pi / 2] * 3],
    166: [4.1, 4.1, 19.7, np.pi / 2, np.pi / 2, 2 * np.pi / 3],
    216: [6.0, 6.0, 6.0, *[np.pi / 2] * 3],
    221: [6.0, 6.0, 6.0, *[np.pi / 2] * 3],
}


def _crystal(group: int, letters: list[int], elements: list[int]) -> Cell:
    scale = np.cbrt(wyckoff.multiplicities()[group, letters].sum())
    lattice = np.array(LATTICES[group]) * ([12 / scale] * 3 + [1] * 3)
    positions = [FREE * (1 + 0.13 * place) for place in range(len(letters))]
    return primitive_cell(group, letters, elements, positions, lattice)


def _by_trying_all(dataset: object, numbers: list[int]) -> list[tuple[str, int]]:
    choices = symmetry._descriptions(dataset)
    return min(_pairs(choice, dataset, numbers) for choice in choices)


def _pairs(
    choice: symmetry._Description, dataset: object, numbers: list[int]
) -> list[tuple[str, int]]:
    moved = [choice.letters.get(letter, letter) for letter in dataset.wyckoffs]
    return sorted(zip(moved, numbers, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(LATTICES)), st.data())
def test_the_preferred_description_is_the_first_of_the_smallest(
    group: int, data: st.DataObject
) -> None:
    highest = min(int(wyckoff.max_letter()[group]), 8)
    letters = data.draw(st.lists(st.integers(1, highest), min_size=1, max_size=3, unique=True))
    elements = data.draw(st.lists(st.sampled_from([3, 8, 22]), min_size=3, max_size=3))
    cell = _crystal(group, letters, elements[: len(letters)])
    dataset = symmetry._moyo_dataset(cell, symprec=0.01)
    numbers = cell.numbers.tolist()
    found = symmetry._preferred_description(dataset, numbers)
    assert _pairs(found, dataset, numbers) == _by_trying_all(dataset, numbers)
    first = next(
        choice
        for choice in symmetry._descriptions(dataset)
        if _pairs(choice, dataset, numbers) == _pairs(found, dataset, numbers)
    )
    assert np.array_equal(found.rotation, first.rotation)
    assert np.array_equal(found.translation, first.translation)


@pytest.mark.parametrize("order", list(permutations([11, 17])))
def test_known_descriptions_of_cubic_crystals_serve_other_elements_and_sizes(
    order: tuple[int, int],
) -> None:
    for edge in (5.6, 7.1):
        lattice = [edge / 2, edge / 2, edge / 2, *[np.pi / 2] * 3]
        salt = primitive_cell(225, [1, 2], order, np.zeros((2, 3)), lattice)
        sites = symmetry.sites(symmetry.standardise_moyo(salt, symprec=0.01))
        assert [(site.letter, site.element) for site in sites] == [(1, 11), (2, 17)]


def test_letters_that_differ_in_the_symmetry_of_their_sites_are_not_exchanged() -> None:
    assert wyckoff.exchangeable(194) == ["a", "b", "cd", "e", "f", "g", "h", "i", "jk", "l"]
    assert wyckoff.exchangeable(225) == ["ab", "c", "d", "e", "f", "g", "hi", "jk", "l"]


def test_descriptions_exchange_only_letters_of_one_class() -> None:
    for group in LATTICES:
        letters = list(range(1, min(int(wyckoff.max_letter()[group]), 6) + 1))
        cell = _crystal(group, letters, [3 + letter for letter in letters])
        dataset = symmetry._moyo_dataset(cell, symprec=0.01)
        classes = wyckoff.exchangeable(int(dataset.number))
        for choice in symmetry._descriptions(dataset):
            for before, after in choice.letters.items():
                assert any(before in one and after in one for one in classes)


def test_a_cell_as_short_as_the_tolerance_has_no_symmetry() -> None:
    """moyo takes all memory for such a crystal, and then ends the process."""
    matrix = np.array([[4.074, 0.0, 0.0], [-1.782, 5.649, 0.0], [-0.092, 0.123, 0.397]])
    cell = Cell(matrix, np.array([8, 23]), np.array([[0.866, 0.332, 0.61], [0.894, 0.709, 0.065]]))
    assert symmetry.space_group(cell, symprec=0.1) is None
    with pytest.raises(ValueError, match=r"a translation of 0.426 Å is too short"):
        symmetry.standardise_moyo(cell, symprec=0.1)
    assert symmetry.space_group(cell, symprec=0.01) == 1
    skewed = Cell(
        np.array([[1, 0, 0], [0, 1, 0], [9, 0, 1]]) @ matrix, cell.numbers, cell.positions
    )
    assert symmetry.space_group(skewed, symprec=0.1) is None
