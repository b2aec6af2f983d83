"""Files with one crystal: read right, or refused with the reason."""

import gzip
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from crystalformer_rl.crystal.structure_files import read_structure

RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]]
)
POSCAR = """rutile
1.0
4.594 0 0
0 4.594 0
0 0 2.959
Ti O
2 4
Direct
0 0 0
.5 .5 .5
.3053 .3053 0
.6947 .6947 0
.1947 .8053 .5
.8053 .1947 .5
"""
XYZ = """6
Lattice="4.594 0 0 0 4.594 0 0 0 2.959" Properties=species:S:1:pos:R:3 id=a
Ti 0 0 0
Ti 2.297 2.297 1.4795
O 1.4025482 1.4025482 0
O 3.1914518 3.1914518 0
O 0.8944518 3.6995482 1.4795
O 3.6995482 0.8944518 1.4795
"""
_HEAD, _SITES = POSCAR.split("Direct\n")
SELECTIVE = _HEAD + "Selective dynamics\nDirect\n" + _SITES.replace("\n", " T T F\n")
_LABELLED = "".join(
    f"{line} {label}\n"
    for line, label in zip(_SITES.splitlines(), ["Ti"] * 2 + ["O"] * 4, strict=True)
)
VELOCITIES = "\n" + "0 0 0\n" * 6


def _read(folder: Path, name: str, text: str | bytes) -> Structure:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_structure(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("POSCAR", POSCAR),
        ("CONTCAR", POSCAR + VELOCITIES),
        ("rutile.vasp", SELECTIVE),
        ("POSCAR_pot", POSCAR.replace("Ti O", "Ti_pv/0123456789ab O_s/0123456789ab")),
        ("POSCAR.gz", gzip.compress(POSCAR.encode())),
        ("POSCAR_mac", POSCAR.replace("\n", "\r")),
        ("POSCAR_mark", "\ufeff" + POSCAR.replace("\n", "\r\n")),
        ("POSCAR_labels", _HEAD + "Direct\n" + _LABELLED),
        ("POSCAR_corrector", POSCAR + VELOCITIES + "\n1\n1.0\n" + "0 0 0\n" * 18),
        ("POSCAR_volume", POSCAR.replace("1.0", f"-{RUTILE.volume}")),
        ("a.extxyz", XYZ),
        ("a.extxyz.gz", gzip.compress(XYZ.encode())),
        ("a.XYZ", XYZ + XYZ),
        ("a.cif", str(CifWriter(RUTILE, symprec=0.01))),
        ("A.CIF", str(CifWriter(RUTILE))),
        ("a.cif.gz", gzip.compress(str(CifWriter(RUTILE)).encode())),
        ("a.mcif", str(CifWriter(RUTILE)).encode("utf-16")),
        ("a.json", RUTILE.to_json()),
    ],
)  # fmt: skip
def test_one_crystal_in_many_files(name: str, text: str | bytes, tmp_path: Path) -> None:
    structure = _read(tmp_path, name, text)
    assert structure.formula == "Ti2 O4"
    assert structure.get_space_group_info()[1] == 136
    assert structure.volume == pytest.approx(RUTILE.volume, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("POSCAR", POSCAR.replace("Ti O\n", ""), "POSCAR of VASP 4 does not say which elements"),
        ("POSCAR", POSCAR.replace("2 4", "6"), "2 elements have 1 numbers of atoms"),
        ("POSCAR", POSCAR.replace("Ti O", "Ti Qq"), "line 6: not an element: 'Qq'"),
        ("POSCAR", POSCAR.replace("Ti O", "Ti OH"), "line 6: not an element: 'OH'"),
        ("POSCAR", POSCAR[:120], "line 14 must begin with three coordinates"),
        ("POSCAR", POSCAR.replace("2 4", "2 3"), "declares 5 atoms, and more lines follow"),
        ("POSCAR", POSCAR.replace("2 4", "2 5"), "line 15 must be an atom, and is empty"),
        ("POSCAR", POSCAR.replace("2 4", "2 6"), "declares 8 atoms, 7 lines follow"),
        ("POSCAR", POSCAR.replace("2 4", f"2 {10**15}"), "lines follow"),
        ("POSCAR", POSCAR.replace("2 4", "6 0"), "line 7 must be numbers of atoms above 0"),
        ("POSCAR", POSCAR.replace("2 4", "2.0 4.0"), "line 7 must be numbers of atoms"),
        ("POSCAR", POSCAR.replace("1.0", "0"), "line 2 must be one scale factor, not 0"),
        ("POSCAR", POSCAR.replace("1.0", "1 1 1"), "line 2 must be one scale factor"),
        ("POSCAR", POSCAR.replace("1.0", "nan"), "line 2 must be one scale factor"),
        ("POSCAR", "\n" + POSCAR, "line 2 must be one scale factor, not 0: 'rutile'"),
        ("POSCAR", POSCAR.replace("0 0 2.959\n", ""), "line 5 must be three numbers"),
        ("POSCAR", POSCAR.replace("Direct\n", ""), "line 8 must be Direct or Cartesian"),
        ("POSCAR", _HEAD + "Direct\n" + _LABELLED.replace("3 0 O", "3 0 Ti"), "atom of O .* Ti"),
        ("POSCAR", _HEAD, "line 8 must be Direct"),
        ("POSCAR", "rutile\n1.0\n", "it ends after line 3"),
        ("POSCAR", " \n", "it is empty"),
        ("POSCAR", POSCAR.replace(".5 .5 .5", "0 0 0"), "atoms are 0.000 Å apart"),
        ("POSCAR", POSCAR.replace(".5 .5 .5", "nan .5 .5"), "line 10 must begin"),
        ("POSCAR", SELECTIVE.replace(".5 .5 .5 T T F", ".5 .5 .5"), "line 11: with selective"),
        ("a.extxyz", XYZ.replace("Lattice", "lattice"), "the frame has no Lattice"),
        ("a.extxyz", XYZ.replace("id=a", 'pbc="T T F"'), "not periodic in all three directions"),
        ("a.extxyz", XYZ.replace("6\n", "5\n", 1), "declares 5 atoms and has 6"),
        ("a.cif", "<html>Sign in</html>", "it is an HTML page"),
        ("a.cif.gz", b"not gzip", "cannot be unpacked"),
        ("a.txt", POSCAR, "Unrecognized extension"),
    ],
)
def test_files_that_are_refused(name: str, text: str | bytes, error: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as a structure: .*({error})"):
        _read(tmp_path, name, text)
