"""What a CIF says of itself is compared with what was read from it."""

import re
from collections.abc import Sequence

import pytest
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.cif import CifCrystal, crystals_of_cif, structure_from_cif
from crystalformer_rl.crystal.symmetry import standardise_moyo

CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)
RUTILE = ["Ti1 Ti 0 0 0", "O1 O 0.3053 0.3053 0"]
TETRAGONAL = (4.594, 4.594, 2.959, 90, 90, 90)
SPINEL = (8.083, 8.083, 8.083, 90, 90, 90)
HEXAGONAL = (3.2094, 3.2094, 5.2108, 90, 90, 120)
FIRST_ORIGIN = ["Mg1 Mg 0 0 0", "Al1 Al 0.625 0.625 0.625", "O1 O 0.3863 0.3863 0.3863"]
SECOND_ORIGIN = ["Mg1 Mg .125 .125 .125", "Al1 Al 0.5 0.5 0.5", "O1 O 0.2613 0.2613 0.2613"]
OPERATIONS = [
    "x,y,z", "-x,-y,z", "-y+1/2,x+1/2,z+1/2", "y+1/2,-x+1/2,z+1/2", "-x+1/2,y+1/2,-z+1/2",
    "x+1/2,-y+1/2,-z+1/2", "y,x,-z", "-y,-x,-z", "-x,-y,-z", "x,y,-z", "y+1/2,-x+1/2,-z+1/2",
    "-y+1/2,x+1/2,-z+1/2", "x+1/2,-y+1/2,z+1/2", "-x+1/2,y+1/2,z+1/2", "-y,-x,z", "y,x,z",
]  # fmt: skip


def cif(
    sites: Sequence[str],
    cell: Sequence[float] = CUBIC,
    *,
    symbol: str | None = "P 1",
    operations: Sequence[str] = (),
    columns: Sequence[str] = ("label", "type_symbol", "fract_x", "fract_y", "fract_z"),
    tag: str = "_space_group_symop_operation_xyz",
    **tags: object,
) -> str:
    """A CIF as one writes it by hand; further tags with ``name=value``."""
    lines = ["data_x"]
    if symbol is not None:
        lines.append(f"_symmetry_space_group_name_H-M '{symbol}'")
    lines += [f"_{name} {value}" for name, value in tags.items()]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True)]
    if operations:
        lines += ["loop_", tag, *(f"'{one}'" for one in operations)]
    lines += ["loop_", *(f"_atom_site_{name}" for name in columns), *sites]
    return "\n".join(lines) + "\n"


def _one(text: str) -> CifCrystal:
    (crystal,) = crystals_of_cif(text)
    return crystal


def _group(structure: Structure) -> int:
    return standardise_moyo(Cell.of(structure), symprec=0.01).space_group


def test_operations_and_symbol_give_the_same_crystal() -> None:
    for options in ({"symbol": "P 42/m n m"}, {"symbol": None, "operations": OPERATIONS}):
        structure = structure_from_cif(cif(RUTILE, TETRAGONAL, **options))
        assert structure.formula == "Ti2 O4"
        assert _group(structure) == 136


@pytest.mark.parametrize(
    "change",
    [
        ("data_", "DATA_"),
        ("loop_", "LOOP_"),
        ("_cell_length_a", "_Cell_Length_A"),
        ("_space_group_symop_operation_xyz", "_Space_Group_symop.operation_XYZ"),
        ("_space_group_symop_operation_xyz", "_space_group_symop_magn_operation.xyz"),
        ("x,y,z'", "X, Y, Z'"),
        ("'x+1/2", "'1/2+x"),
        ("1/2", "0.5"),
        ("0.3053", "0.3053(12)"),
        ("4.594", "4.594(3)"),
        ("\n", "\r\n"),
        ("\n", "\r"),
        (" ", "\t"),
        ("data_x", "\ufeffdata_x"),
        ("_cell_length_b ", "_cell_length_b\n  "),
        ("loop_", "# a comment with 'one quote\nloop_ # another"),
        ("_cell_length_b", "_publ_section_title\n;\n data_y\nloop_\n _cell_length_a 99\n;\n"
         "_cell_length_b"),
        ("Ti1 Ti", "Ti1 Ti4+"),
        ("Ti1 Ti", "Ti1 Ti4+,spin=-2.25"),
        ("O1 O", "O1 O2-"),
        ("Ti1 Ti 0 0 0", "Ti1 Ti -0.0 +0 0."),
    ],
)  # fmt: skip
def test_spellings_of_one_crystal(change: tuple[str, str]) -> None:
    text = cif(RUTILE, TETRAGONAL, symbol=None, operations=OPERATIONS)
    assert change[0] in text
    structure = structure_from_cif(text.replace(*change))
    assert (structure.formula, _group(structure)) == ("Ti2 O4", 136)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("'-y,-x,z'\n", ""), "the 15 symmetry operations are not a group"),
        (("'-y,-x,z'", "'-y,-x,"), "a quotation mark is not closed"),
        (("'-y,-x,z'", "'-y,-x,w'"), "cannot read 'w'"),
        (("'-y,-x,z'", "'-y,-x'"), "must have three parts"),
        (("'-y,-x,z'", "'-y,-y,z'"), "not a rotation or reflection"),
        (("'-y,-x,z'", "-y, -x, z"), "18 values for 1 columns|not a group|three parts"),
        (("O1 O 0.3053 0.3053 0\n", ""), "declares 'O2 Ti', its sites give 'Ti2'"),
        (("O1 O 0.3053 0.3053 0", "O1 O 0.3053"), "8 values for 5 columns"),
        (("0.3053 0.3053 0", "0.3053 ? 0"), "a coordinate of site O1 is not known"),
        (("0.3053 0.3053 0", "0.3053 . 0"), "a coordinate of site O1 is not known"),
        (("0.3053 0.3053 0", "0,3053 0,3053 0"), "site O1 is not a number: '0,3053'"),
        (("0.3053 0.3053 0", "0.3053 nan 0"), "site O1 is not a number: 'nan'"),
        (("0.3053 0.3053 0", "0.7 0.7 0"), None),
        (("O1 O 0.3053 0.3053 0", "O1 O 0.3053 0.3053 0\nO2 O 0.1 0.2 0.3"), "its sites give"),
        (("O1 O ", "O1 O-H "), "'O-H' of site O1: not an element"),
        (("_cell_length_a 4.594", "_cell_length_a 5.594"), "do not fit the cell"),
        (("_cell_angle_beta 90", "_cell_angle_beta 100"), "do not fit the cell"),
        (("_cell_angle_beta 90", "_cell_angle_beta ?"), "_cell_angle_beta is not known"),
        (("_cell_angle_beta 90\n", ""), "_cell_angle_beta is missing"),
        (("_cell_angle_beta 90", "_cell_angle_beta"), "_cell_angle_beta has no value"),
        (("_cell_length_c 2.959", "_cell_length_c inf"), "_cell_length_c is not a number"),
        (("_cell_volume 62.45", "_cell_volume 74"), "volume of 74 Å³, its cell has 62.45 Å³"),
        (("_cell_formula_units_Z 2", "_cell_formula_units_Z 4"), "declares 4 formula units"),
        (("_space_group_IT_number 136", "_space_group_IT_number 65"), "number 65, .* group 136"),
        (("_space_group_IT_number 136", "_space_group_IT_number 500"), "must be 1 to 230"),
        (("fract_x", "Cartn_x"), "no fractional coordinates"),
        (("_atom_site_label", "_atom_site_lable"), None),
        (("_cell_length_b", "_publ_section_title\n;\nnever closed\n_cell_length_b"), "not closed"),
        (("_cell_length_b 4.594", "_cell_length_b 4.594\n_cell_length_b 4.6"), "is given twice"),
        (("_cell_length_b 4.594", "_cell_length_b 4.594 4.6"), "more than one value"),
    ],
)  # fmt: skip
def test_one_damage_is_a_rejection_or_no_other_crystal(
    change: tuple[str, str], error: str | None
) -> None:
    text = cif(
        RUTILE, TETRAGONAL, symbol=None, operations=OPERATIONS, chemical_formula_sum="'O2 Ti'",
        cell_volume=62.45, cell_formula_units_Z=2, space_group_IT_number=136,
    )  # fmt: skip
    assert _one(text).error is None
    assert change[0] in text
    crystal = _one(text.replace(*change))
    if error is None:
        assert crystal.structure is not None
        return
    with pytest.raises(ValueError, match=error):
        raise ValueError(crystal.error or "no error")


@pytest.mark.parametrize("label", ["OH", "OW", "Wat", "SiAl", "X1", "OH2-"])
def test_labels_that_are_no_elements(label: str) -> None:
    sites = [f"{label} 0.5 0.5 0.5", "Ca 0 0 0"]
    columns = ("label", "fract_x", "fract_y", "fract_z")
    assert "not an element" in str(_one(cif(sites, columns=columns)).error)


@pytest.mark.parametrize("label", ["O", "O1", "O1A", "O_2", "O(3)", "O'", "O1-", "D"])
def test_labels_that_start_with_an_element(label: str) -> None:
    columns = ("label", "fract_x", "fract_y", "fract_z")
    structure = structure_from_cif(cif([f"{label} 0.5 0.5 0.5", "Ca 0 0 0"], columns=columns))
    assert structure.formula == ("Ca1 H1" if label == "D" else "Ca1 O1")


def test_capitals_are_read_only_where_a_formula_can_tell() -> None:
    sites = ["CO1 CO 0 0 0", "O1 O .5 .5 .5"]
    assert "not an element" in str(_one(cif(sites)).error)
    good = cif(sites, chemical_formula_sum="'Co O'")
    assert structure_from_cif(good).formula == "Co1 O1"
    assert "its sites give" in str(_one(cif(sites, chemical_formula_sum="'C O2'")).error)


@pytest.mark.parametrize(
    ("occupancy", "reason"),
    [("1", None), ("1.000(2)", None), (".", None), ("?", "unreadable"), ("0.5", "disordered"),
     ("0", "disordered"), ("1.5", "unreadable"), ("nan", "unreadable"), ("-1", "unreadable")],
)  # fmt: skip
def test_occupancies(occupancy: str, reason: str | None) -> None:
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    text = cif(["Ca1 Ca 0 0 0 1", f"O1 O .5 .5 .5 {occupancy}"], columns=columns)
    assert _one(text).reason == reason


def test_two_elements_on_one_site() -> None:
    crystal = _one(cif(["Ca1 Ca 0 0 0", "H1 H .5 .5 .5", "O1 O .5 .5 .5"]))
    assert (crystal.reason, crystal.structure) == ("not_physical", None)


def test_hydrogen_without_coordinates() -> None:
    columns = ("label", "fract_x", "fract_y", "fract_z", "attached_hydrogens")
    text = cif(["O1 .5 .5 .5 1", "Ca1 0 0 0 0"], columns=columns)
    assert "1 hydrogen atoms of site O1 have no coordinates" in str(_one(text).error)


@pytest.mark.parametrize("symbol", ["F d -3 m :2", "F d -3 m:2", "F d -3 m Z", "F d -3 m", "Fd3m"])
def test_second_origin(symbol: str) -> None:
    text = cif(SECOND_ORIGIN, SPINEL, symbol=symbol, chemical_formula_sum="'Al2 Mg O4'")
    structure = structure_from_cif(text)
    assert (structure.formula, _group(structure)) == ("Mg8 Al16 O32", 227)


@pytest.mark.parametrize("symbol", ["F d -3 m :1", "F d -3 m S", "F d -3 m"])
def test_first_origin(symbol: str) -> None:
    text = cif(FIRST_ORIGIN, SPINEL, symbol=symbol, chemical_formula_sum="'Al2 Mg O4'")
    assert structure_from_cif(text).formula == "Mg8 Al16 O32"


def test_an_open_setting_that_gives_two_crystals_is_refused() -> None:
    carbon = cif(["C1 C 0 0 0"], (3.567,) * 3 + (90,) * 3, symbol="F d -3 m")
    assert "has several settings (1, 2)" in str(_one(carbon).error)
    told = carbon.replace("data_x", "data_x\n_chemical_formula_sum C\n_cell_formula_units_Z 8")
    assert len(structure_from_cif(told)) == 8


def test_the_wrong_origin_is_refused() -> None:
    text = cif(FIRST_ORIGIN, SPINEL, symbol="F d -3 m :2", chemical_formula_sum="'Al2 Mg O4'")
    assert "declares 'Al2 Mg O4', its sites give" in str(_one(text).error)


@pytest.mark.parametrize("suffix", ["", ":H", " :H", " H"])
def test_hexagonal_axes(suffix: str) -> None:
    sites = ["Te1 Te 0 0 0", "Bi1 Bi 0 0 0.3985", "Te2 Te 0 0 0.788"]
    text = cif(sites, (4.3835, 4.3835, 30.487, 90, 90, 120), symbol=f"R -3 m{suffix}")
    assert structure_from_cif(text).formula == "Bi6 Te9"
    assert "fits the cell" in str(_one(text.replace(f"m{suffix}'", "m :R'")).error)


@pytest.mark.parametrize("suffix", ["", ":R", " :R", " R"])
def test_rhombohedral_axes(suffix: str) -> None:
    sites = ["Te1 Te 0 0 0", "Bi1 Bi .3985 .3985 .3985", "Te2 Te .788 .788 .788"]
    text = cif(sites, (10.473,) * 3 + (24.167,) * 3, symbol=f"R -3 m{suffix}")
    assert structure_from_cif(text).formula == "Bi2 Te3"
    assert "fits the cell" in str(_one(text.replace(f"m{suffix}'", "m :H'")).error)


@pytest.mark.parametrize(
    ("symbol", "cell"),
    [
        ("P 1 21/c 1", (4, 5, 6, 90, 100, 90)),
        ("P 21/n", (4, 5, 6, 90, 100, 90)),
        ("P 1 1 21/b", (4, 5, 6, 90, 90, 100)),
        ("P 21/b", (4, 5, 6, 90, 90, 100)),
    ],
)
def test_monoclinic_settings(symbol: str, cell: Sequence[float]) -> None:
    structure = structure_from_cif(cif(["Si1 Si .1 .2 .3"], cell, symbol=symbol))
    assert (len(structure), _group(structure)) == (4, 14)


def test_more_symmetry_than_declared_is_no_error() -> None:
    salt = ["Na1 Na 0 0 0", "Na2 Na 0 .5 .5", "Na3 Na .5 0 .5", "Na4 Na .5 .5 0",
            "Cl1 Cl .5 .5 .5", "Cl2 Cl .5 0 0", "Cl3 Cl 0 .5 0", "Cl4 Cl 0 0 .5"]  # fmt: skip
    for group in (1, 216, 225):
        text = cif(salt, symbol=None, operations=["x,y,z"], space_group_IT_number=group)
        assert len(structure_from_cif(text)) == 8
    lost = cif(salt[::4], symbol=None, operations=["x,y,z"], space_group_IT_number=225)
    assert "number 225, its symmetry operations are those of group 1" in str(_one(lost).error)


def test_names_of_the_space_group_that_contradict_each_other() -> None:
    text = cif(RUTILE, TETRAGONAL, symbol="P 42/n m c", space_group_IT_number=136)
    assert "contradict each other" in str(_one(text).error)
    assert "unknown space group symbol" in str(_one(cif(RUTILE, symbol="P 9")).error)
    assert "names no space group" in str(_one(cif(RUTILE, symbol=None)).error)


SALT = ["Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5"]
FACE_CENTRED = ["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"]


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ({"space_group_IT_number": 221, "symmetry_Int_Tables_number": 225}, r"groups \[221, 225\]"),
        ({"space_group_name_H-M_alt": "'P m -3 m'"}, r"groups \[221, 225\]"),
        ({"symmetry_space_group_name_Hall": "'-P 4 2 3'"}, r"groups \[221, 225\]"),
        ({"symmetry_space_group_name_Hall": "'-F 4 2 3 (x+1/4,y,z)'"}, "unknown Hall symbol"),
        ({"space_group_name_H-M_full": "'F 4/m -3 2/m'", "space_group_IT_number": 225}, None),
        ({"symmetry_space_group_name_Hall": "'-F 4 2 3'"}, None),
    ],
)
def test_each_name_of_the_space_group_counts(tags: dict[str, object], error: str | None) -> None:
    crystal = _one(cif(SALT, symbol="F m -3 m", **tags))
    if error is None:
        assert crystal.structure is not None
        assert (crystal.structure.formula, _group(crystal.structure)) == ("Na4 Cl4", 225)
    else:
        assert re.search(error, str(crystal.error))


def test_the_origin_may_be_in_the_second_symbol() -> None:
    tags = {"space_group_name_H-M_alt": "'F d -3 m :2'"}
    (crystal,) = crystals_of_cif(cif(["C1 C .125 .125 .125"], SPINEL, symbol="F d -3 m", **tags))
    assert crystal.structure is not None
    assert len(crystal.structure) == 8


def test_two_lists_of_operations_must_agree() -> None:
    text = cif(SALT, symbol=None, operations=FACE_CENTRED)
    assert structure_from_cif(text).formula == "Na4 Cl4"
    both = text.replace("data_x", "data_x\nloop_\n_symmetry_equiv_pos_as_xyz\nx,y,z")
    assert "list 1 and 4 symmetry operations" in str(_one(both).error)


@pytest.mark.parametrize(("symbol", "good"), [("F m -3 m (225)", False), ("F 1 (1)", True)])
def test_operations_of_an_unknown_symbol_may_be_cut_off(symbol: str, good: bool) -> None:
    crystal = _one(cif(SALT, symbol=symbol, operations=["x,y,z"]))
    assert (crystal.structure is not None) == good
    assert good or "are the others cut off?" in str(crystal.error)


def test_fewer_atoms_than_the_formula_has() -> None:
    text = cif(SALT, symbol=None, operations=["x,y,z"], chemical_formula_sum="'Na4 Cl4'")
    assert "declares 'Na4 Cl4', its sites give less" in str(_one(text).error)
    assert structure_from_cif(text.replace("Na4 Cl4", "Na Cl")).formula == "Na1 Cl1"


@pytest.mark.parametrize("tag", ["symmetry_multiplicity", "site_symmetry_multiplicity"])
@pytest.mark.parametrize(
    ("declared", "good"),
    [
        (("2", "4"), True),
        (("2.0", "4.0"), True),
        ((".", "4"), True),
        (("2", "?"), True),
        # SHELXL writes the order of the site symmetry.
        (("8", "4"), True),
        # Of a program that does not know the multiplicities.
        (("1", "1"), True),
        # No multiplicity, whatever it is.
        (("2", "4.5"), True),
        (("2a", "four"), True),
        (("0", "4"), False),
        (("2", "8"), False),
        (("4", "4"), False),
        (("1", "4"), False),
    ],
)
def test_multiplicities(tag: str, declared: tuple[str, str], good: bool) -> None:
    sites = [f"{site} {one}" for site, one in zip(RUTILE, declared, strict=True)]
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", tag)
    crystal = _one(cif(sites, TETRAGONAL, symbol="P 42/m n m", columns=columns))
    assert (crystal.structure is not None) == good
    if not good:
        assert re.search(
            "declares multiplicity [0-9] of site .*, its .* give [24]", str(crystal.error)
        )


def test_a_multiplicity_shows_operations_that_were_cut_off_or_a_damaged_coordinate() -> None:
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "symmetry_multiplicity")
    sites = ["Ti1 Ti 0 0 0 2", "O1 O 0.3053 0.3053 0 4"]
    text = cif(sites, TETRAGONAL, symbol=None, operations=OPERATIONS, columns=columns)
    assert structure_from_cif(text).formula == "Ti2 O4"
    cut = cif(sites, TETRAGONAL, symbol=None, operations=OPERATIONS[:1], columns=columns)
    assert "multiplicity 2 of site Ti1" in str(_one(cut).error)
    moved = text.replace("0.3053 0.3053", "0.3053 0.2053")
    assert "multiplicity 4 of site O1, its symmetry operations give 8" in str(_one(moved).error)


def test_sites_of_two_disorder_groups_are_not_both_occupied() -> None:
    columns = ("label", "fract_x", "fract_y", "fract_z", "disorder_group")
    text = cif(["Na1 0 0 0 .", "Cl1 .5 .5 .5 1", "Cl2 .7 .5 .5 2"], columns=columns)
    assert _one(text).reason == "disordered"
    assert structure_from_cif(text.replace("5 2\n", "5 1\n")).formula == "Na1 Cl2"


@pytest.mark.parametrize("third", ["0.333 0.667", "0.3333 0.6667", "0.333 0.666", "0.33 0.67"])
def test_rounded_special_positions(third: str) -> None:
    crystal = _one(cif([f"Mg1 Mg {third} 0.25"], HEXAGONAL, symbol="P 63/m m c"))
    assert crystal.structure is not None
    assert len(crystal.structure) == 2
    assert sorted(map(tuple, crystal.structure.frac_coords.round(8).tolist())) == [
        (0.33333333, 0.66666667, 0.25), (0.66666667, 0.33333333, 0.75),
    ]  # fmt: skip
    # The four-digit thirds miss the special position by 0.0003 Å: nothing was split.
    assert crystal.merged == (0 if len(third) == 13 else 4)


def test_a_position_that_is_close_to_a_special_one_and_not_on_it() -> None:
    text = cif(["Mg1 Mg 0.30 0.70 0.25"], HEXAGONAL, symbol="P 63/m m c")
    assert _one(text).reason == "not_physical"
    (tight,) = crystals_of_cif(text.replace("0.30 0.70", "0.333 0.667"), merge_below=1e-3)
    assert tight.reason == "not_physical"


def test_every_block_is_a_crystal() -> None:
    good = cif(RUTILE, TETRAGONAL, symbol="P 42/m n m")
    text = good.replace("data_x", "data_global\n_journal_year 1999\ndata_one")
    text += good.replace("data_x", "data_two").replace("_cell_length_a", "_cell_lenght_a")
    text += good.replace("data_x", "data_three")
    crystals = list(crystals_of_cif(text))
    assert [(one.name, one.reason) for one in crystals] == [
        ("one", None), ("two", "unreadable"), ("three", None),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"has 3 crystals \(one, two, three, …\)"):
        structure_from_cif(text)
