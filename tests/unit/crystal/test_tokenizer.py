"""Structures to tokens: known crystals, what tokens may not depend on, rejections."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from crystalformer_rl.crystal import symmetry, tokenizer
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.cif import structure_from_cif
from crystalformer_rl.crystal.decoding import decode, primitive_cell
from crystalformer_rl.crystal.tokenizer import (
    Rejection,
    SiteTokens,
    leads_back,
    tokenize,
    tokenize_many,
)

TABLE = pd.read_csv(Path(__file__).parents[2] / "fixtures" / "mp20_val_16.csv", dtype=str)
STRUCTURES = [structure_from_cif(text) for text in TABLE["cif"]]
NAMES = TABLE["pretty_formula"].tolist()
ROCK_SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Cl", "Na"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
RUTILE = Structure.from_spacegroup(
    136, Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)


def _tokens(structure: Structure, *, symprec: float = 0.01, max_sites: int = 20) -> SiteTokens:
    tokens = tokenize(structure, symprec=symprec, max_sites=max_sites)
    assert isinstance(tokens, SiteTokens), tokens
    return tokens


def _supercell(structure: Structure) -> Structure:
    larger = structure.copy()
    larger.make_supercell([[1, 1, 0], [0, 1, 0], [0, 1, 2]])
    return larger


def _rotated(structure: Structure) -> Structure:
    rotation = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
    lattice = Lattice(structure.lattice.matrix @ rotation.T)
    return Structure(lattice, structure.species, structure.frac_coords)


def _permuted(structure: Structure) -> Structure:
    return Structure.from_sites(list(structure)[::-1])


def _shifted(structure: Structure) -> Structure:
    origin = np.array([0.17, 0.31, 0.7])
    return Structure(structure.lattice, structure.species, structure.frac_coords + origin)


def test_rutile() -> None:
    tokens = _tokens(RUTILE)
    assert tokens.space_group == 136
    assert tokens.wyckoff.tolist() == [1, 6]
    assert tokens.element.tolist() == [22, 8]
    assert tokens.position == pytest.approx(np.array([[0, 0, 0], [0.305, 0.305, 0]]), abs=1e-6)
    assert tokens.lattice[[0, 1, 2]] * np.cbrt(6) == pytest.approx([4.59, 4.59, 2.96], abs=1e-6)


def test_the_lightest_element_of_rock_salt_is_at_a_wherever_the_origin_is() -> None:
    for structure in (ROCK_SALT, _shifted(ROCK_SALT), ROCK_SALT.get_primitive_structure()):
        tokens = _tokens(structure)
        assert (tokens.space_group, tokens.wyckoff.tolist()) == (225, [1, 2])
        assert tokens.element.tolist() == [11, 17]


@pytest.mark.parametrize("change", [_supercell, _rotated, _permuted, _shifted])
@pytest.mark.parametrize("structure", STRUCTURES, ids=NAMES)
def test_the_description_of_the_crystal_does_not_matter(
    structure: Structure, change: Callable[[Structure], Structure]
) -> None:
    """Group, letters, elements and lattice are the same; free coordinates are so up to the
    choices of origin that the normaliser leaves, so there the structures are compared."""
    tokens, changed = _tokens(structure), _tokens(change(structure))
    assert changed.space_group == tokens.space_group
    assert _pairs(changed) == _pairs(tokens)
    assert changed.lattice == pytest.approx(tokens.lattice, abs=2e-3)
    ours, theirs = decode(tokenizer.batch([tokens, changed], max_sites=20))
    assert StructureMatcher().fit(ours.structure, theirs.structure)


def _pairs(tokens: SiteTokens) -> list[tuple[int, int]]:
    return sorted(zip(tokens.wyckoff.tolist(), tokens.element.tolist(), strict=True))


@pytest.mark.parametrize("structure", STRUCTURES, ids=NAMES)
def test_decoded_structures_match_and_sites_are_in_order(structure: Structure) -> None:
    tokens = _tokens(structure)
    (decoded,) = decode(tokenizer.batch([tokens], max_sites=20))
    assert StructureMatcher().fit(decoded.structure, structure)
    keys = [(w, *xyz) for w, xyz in zip(tokens.wyckoff, tokens.position.tolist(), strict=True)]
    assert keys == sorted(keys)
    assert ((tokens.position >= 0) & (tokens.position < 1)).all()


def test_labels_of_the_dataset_are_reproduced_at_its_tolerance() -> None:
    found = [_tokens(structure, symprec=0.1).space_group for structure in STRUCTURES]
    assert found == TABLE["spacegroup.number"].astype(int).tolist()


def test_many_keeps_order_and_does_not_depend_on_processes() -> None:
    structures = [*STRUCTURES[:5], *STRUCTURES[:1], _disordered()]
    one = tokenize_many(structures, symprec=0.01, max_sites=5, processes=1)
    two = tokenize_many(structures, symprec=0.01, max_sites=5, processes=2)
    for name, array in one[0].to_arrays().items():
        assert np.array_equal(array, two[0].to_arrays()[name])
    assert one[0].max_sites == 6
    assert one[1].tolist() == two[1].tolist()
    assert one[2] == two[2]
    assert sorted([*one[1].tolist(), *(index for index, _ in one[2])]) == list(range(7))
    assert one[2][-1][1].reason == "disordered"
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        tokenize_many(structures, symprec=0.01, max_sites=5, processes=0)


class _Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (1,)


def test_a_worker_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "_cell_or_rejection", lambda _: _Deadly())
    with pytest.raises(ChildProcessError, match="one of 2 worker processes died"):
        tokenize_many([RUTILE, RUTILE], symprec=0.01, max_sites=5, processes=2)


def test_nothing_kept_is_an_empty_batch() -> None:
    tokens, kept, rejected = tokenize_many([_disordered()], symprec=0.01, max_sites=5)
    assert (len(tokens), len(kept), len(rejected)) == (0, 0, 1)


def _disordered() -> Structure:
    return Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])


def test_rejections() -> None:
    assert _reason(tokenize(_disordered(), symprec=0.01, max_sites=20)) == "disordered"
    assert _reason(tokenize(RUTILE, symprec=0.01, max_sites=1)) == "too_many_sites"
    twice = Structure(Lattice.cubic(4), ["Cu", "Cu"], [[0, 0, 0], [0, 0, 1e-4]])
    rejection = tokenize(twice, symprec=0.01, max_sites=20)
    assert _reason(rejection) == "no_symmetry"
    assert "spglib finds no symmetry at 0.01 Å" in rejection.detail  # type: ignore[union-attr]


def _reason(result: SiteTokens | Rejection) -> str:
    assert isinstance(result, Rejection)
    return result.reason


@pytest.mark.parametrize("structure", STRUCTURES, ids=NAMES)
def test_spglib_and_moyo_lead_to_the_same_crystal(structure: Structure) -> None:
    cell = Cell.of(structure)
    standards = [
        standardise(cell, symprec=0.01)
        for standardise in (symmetry.standardise_moyo, symmetry.standardise_spglib)
    ]
    assert standards[0].space_group == standards[1].space_group
    for standard in standards:
        assert leads_back(cell, standard, _decoded(standard))


def test_the_quick_check_refuses_another_crystal() -> None:
    cell = Cell.of(RUTILE)
    standard = symmetry.standardise_moyo(cell, symprec=0.01)
    decoded = _decoded(standard)
    assert tokenizer._coincide(cell, standard, decoded)
    swapped = Cell(decoded.matrix, 30 - decoded.numbers, decoded.positions)
    moved = Cell(decoded.matrix, decoded.numbers, decoded.positions * [1, 1, 0.9] + [0, 0, 0.1])
    larger = Cell(decoded.matrix * 1.1, decoded.numbers, decoded.positions)
    for other in (swapped, moved, larger):
        assert not tokenizer._coincide(cell, standard, other)
    assert leads_back(cell, standard, larger)
    assert not leads_back(cell, standard, swapped)


def test_the_quick_check_pairs_atoms_of_supercells_one_to_one() -> None:
    larger = _supercell(RUTILE)
    cell = Cell.of(larger)
    standard = symmetry.standardise_moyo(cell, symprec=0.01)
    decoded = _decoded(standard)
    assert tokenizer._coincide(cell, standard, decoded)
    doubled = cell.positions.copy()
    titanium = np.flatnonzero(cell.numbers == 22)
    doubled[titanium[1]] = doubled[titanium[0]]
    assert not tokenizer._coincide(Cell(cell.matrix, cell.numbers, doubled), standard, decoded)


def _decoded(standard: symmetry.Standard) -> Cell:
    (tokens,) = tokenizer._site_tokens([(standard, symmetry.sites(standard))])
    return primitive_cell(**vars(tokens))


def test_primitive() -> None:
    rutile = Cell.of(RUTILE)
    assert symmetry.primitive(rutile, symprec=0.01) is rutile
    assert len(symmetry.primitive(Cell.of(ROCK_SALT), symprec=0.01).numbers) == 2
    smaller = symmetry.primitive(Cell.of(_supercell(RUTILE)), symprec=0.01).structure()
    assert len(smaller) == 6
    assert StructureMatcher().fit(smaller, RUTILE)


def test_atoms_that_are_not_whole_orbits_are_refused() -> None:
    standard = symmetry.standardise_moyo(Cell.of(RUTILE), symprec=0.01)
    cell = standard.cell
    broken = Cell(cell.matrix, np.where(np.arange(6) == 0, 40, cell.numbers), cell.positions)
    with pytest.raises(ValueError, match="are not all atoms of the cell"):
        symmetry.sites(symmetry.Standard(136, broken, standard.linear, standard.shift))
