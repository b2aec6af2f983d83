"""The quick CIF reader gives what pymatgen gives, and leaves alone what it does not know."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser, CifWriter

from crystalformer_rl.crystal.cif import structure_from_cif
from crystalformer_rl.crystal.plain_cif import plain_cell

TABLE = pd.read_csv(Path(__file__).parents[2] / "fixtures" / "mp20_val_16.csv", dtype=str)
PLAIN = TABLE["cif"][0]


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
@pytest.mark.parametrize("text", TABLE["cif"], ids=TABLE["pretty_formula"])
def test_equal_to_pymatgen(text: str) -> None:
    ours = _read_plainly(text)
    theirs = CifParser.from_str(text).parse_structures(primitive=False)[0]
    assert ours.lattice == theirs.lattice
    assert np.allclose(_atoms(ours), _atoms(theirs), atol=1e-12)


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
def test_thirds_are_made_exact_as_pymatgen_does() -> None:
    text = PLAIN.replace(_first_coordinates(PLAIN), "0.33333300  0.66670000  0.33400000")
    ours = _read_plainly(text)
    assert ours.frac_coords[0].tolist() == [1 / 3, 2 / 3, 0.334]
    theirs = CifParser.from_str(text).parse_structures(primitive=False)[0]
    assert np.allclose(_atoms(ours), _atoms(theirs), atol=1e-12)


def _read_plainly(text: str) -> Structure:
    cell = plain_cell(text)
    assert cell is not None
    return cell.structure()


def _first_coordinates(text: str) -> str:
    line = text.split("_atom_site_occupancy\n")[1].splitlines()[0]
    return "  ".join(line.split()[3:6])


def _atoms(structure: Structure) -> np.ndarray:
    rows = zip(structure.atomic_numbers, structure.frac_coords.tolist(), strict=True)
    return np.array(sorted((number, *np.round(xyz, 9)) for number, xyz in rows))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'P 1'", "'P -1'"),
        ("  1  'x, y, z'", "  1  'x, y, z'\n  2  '-x, -y, -z'"),
        (" _atom_site_occupancy", " _atom_site_occupancy\n _atom_site_charge"),
        ("  1\n", "  0.5\n"),
        ("_cell_length_a ", "_cell_length_a 1"),
        ("  In  In0", "  Xx  In0"),
        ("  In  In0", "  In3+  In0"),
    ],
)
def test_any_other_layout_is_left_to_the_other_reader(old: str, new: str) -> None:
    assert old in PLAIN
    assert plain_cell(PLAIN.replace(old, new)) is None


def test_atoms_on_one_another_are_left_to_the_other_reader() -> None:
    line = PLAIN.split("_atom_site_occupancy\n")[1].splitlines()[0]
    assert plain_cell(PLAIN + line + "\n") is None


def test_a_cif_with_symmetry() -> None:
    structure = structure_from_cif(PLAIN)
    text = str(CifWriter(structure, symprec=0.01))
    assert len(structure_from_cif(text)) == len(structure)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "not a CIF",
        "data_x\n",
        PLAIN[: len(PLAIN) // 2],
        PLAIN.replace("_cell", "_sell"),
    ],
)
def test_damaged_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        structure_from_cif(text)


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_element_is_refused() -> None:
    with pytest.raises(ValueError, match="type symbol 'Xx' of site In0: not an element"):
        structure_from_cif(PLAIN.replace("  In  In0", "  Xx  In0"))
