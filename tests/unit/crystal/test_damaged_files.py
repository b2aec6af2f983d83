"""Any crystal in any format, with one field damaged: the same crystal, or a row with a reason."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import ase.io
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from crystalformer_rl.crystal.readers import read_crystals
from crystalformer_rl.crystal.structure_files import read_structure
from crystalformer_rl.crystal.structures import structure_columns

pytestmark = pytest.mark.slow

SAME = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=1, scale=False)
# Group, cell as a, c/a (None: cubic) and sites; x is random.
PROTOTYPES = [
    ("Fm-3m", None, lambda _: [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ("Pm-3m", None, lambda _: [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ("F-43m", None, lambda _: [[0, 0, 0], [0.25, 0.25, 0.25]]),
    ("Pa-3", None, lambda x: [[0, 0, 0], [x, x, x]]),
    ("P4_2/mnm", 0.65, lambda x: [[0, 0, 0], [x, x, 0]]),
    ("P6_3/mmc", 1.7, lambda x: [[0, 0, 0], [1 / 3, 2 / 3, 0.3 * x]]),
    ("R-3m", 2.8, lambda x: [[0, 0, 0], [0, 0, x]]),
    ("P-3m1", 1.6, lambda x: [[0, 0, 0], [1 / 3, 2 / 3, x]]),
]
NONSENSE = ["nan", "inf", "-inf", "?", "abc", "1e400", "#", "'", '"', ";", "None", "1,5", "_x"]


@st.composite
def crystals(draw: st.DrawFn) -> Structure:
    """A crystal with one parameter, of one of the prototypes."""
    symbol, ratio, sites = draw(st.sampled_from(PROTOTYPES))
    a = draw(st.floats(5.0, 7.0))
    lattice = Lattice.cubic(a)
    if ratio is not None:
        hexagonal = symbol[0] == "R" or symbol[1] in "36-"
        lattice = (Lattice.hexagonal if hexagonal else Lattice.tetragonal)(a, ratio * a)
    names = draw(st.sampled_from([["Na", "Cl"], ["Ti", "O"], ["Cd", "I"], ["Pr", "N"]]))
    x = draw(st.floats(0.22, 0.38))
    return Structure.from_spacegroup(symbol, lattice, names, sites(x))


def _by_ase(structure: Structure, form: str) -> str:
    stream = io.BytesIO() if form == "cif" else io.StringIO()
    atoms = ase.Atoms(AseAtomsAdaptor.get_atoms(structure))
    ase.io.write(stream, atoms, format=form)
    value = stream.getvalue()
    return value.decode() if isinstance(value, bytes) else value


def _by_hand(structure: Structure) -> str:
    lines = ["data_x", "_symmetry_space_group_name_H-M 'P 1'",
             f"_chemical_formula_sum '{structure.formula}'"]  # fmt: skip
    lattice = structure.lattice
    lines += [f"_cell_length_{n} {v:.6f}" for n, v in zip("abc", lattice.abc, strict=True)]
    angles = zip(("alpha", "beta", "gamma"), lattice.angles, strict=True)
    lines += [f"_cell_angle_{name} {value:.6f}" for name, value in angles]
    lines += [
        "loop_",
        *(f"_atom_site_{name}" for name in ("label", "fract_x", "fract_y", "fract_z")),
    ]
    for place, site in enumerate(structure):
        lines.append(f"{site.specie}{place} " + " ".join(f"{v:.6f}" for v in site.frac_coords))
    return "\n".join(lines) + "\n"


WRITERS: dict[str, Callable[[Structure], str]] = {
    "pymatgen.cif": lambda structure: str(CifWriter(structure)),
    "symmetric.cif": lambda structure: str(CifWriter(structure, symprec=0.01)),
    "ase.cif": lambda structure: _by_ase(structure, "cif"),
    "hand.cif": _by_hand,
    "POSCAR": lambda structure: structure.to(fmt="poscar"),
    "ase.extxyz": lambda structure: _by_ase(structure, "extxyz"),
}


def _read(name: str, text: str) -> tuple[Structure | None, str]:
    """What is read from a file, or None and the reason."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        try:
            if name == "POSCAR":
                return read_structure(path), ""
            rows = list(read_crystals(path))
        except ValueError as error:
            return None, str(error)
    found = [row for row in rows if row.structure is not None]
    if len(found) == len(rows) == 1:
        return found[0].structure, ""
    return None, "; ".join(str(row.error) for row in rows if row.structure is None)


def _damage(draw: st.DrawFn, text: str) -> str:
    """One field replaced, one line lost or twice, or the end cut off."""
    kind = draw(st.sampled_from(["field", "field", "field", "lost", "twice", "cut"]))
    if kind == "field":
        field = draw(st.sampled_from(list(re.finditer(r"\S+", text))))
        return text[: field.start()] + draw(st.sampled_from(NONSENSE)) + text[field.end() :]
    lines = text.splitlines(keepends=True)
    place = draw(st.integers(0, len(lines) - 1))
    if kind == "cut":
        return "".join(lines[:place])
    return "".join(
        lines[:place] + lines[place : place + 1] * (2 * (kind == "twice")) + lines[place + 1 :]
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_text(name: str, data: st.DataObject) -> None:
    structure = data.draw(crystals())
    text = WRITERS[name](structure)
    whole, reason = _read(name, text)
    assert whole is not None, reason
    assert SAME.fit(whole, structure)
    damaged = _damage(data.draw, text)
    read, reason = _read(name, damaged)
    if read is None:
        assert reason
    else:
        assert SAME.fit(read, structure), damaged


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, deadline=None)
@given(structure=crystals(), data=st.data())
def test_parquet(structure: Structure, data: st.DataObject) -> None:
    row = {name: list(values[0] or []) for name, values in structure_columns([structure]).items()}
    column = data.draw(st.sampled_from(sorted(row)))
    values: list[float] = [float(value) for value in row[column]]
    place = data.draw(st.integers(0, len(values) - 1))
    wrong = data.draw(st.sampled_from([float("nan"), float("inf"), -1e300, None]))
    if data.draw(st.booleans()):
        values[place] = wrong  # type: ignore[call-overload]
    else:
        del values[place]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        good = {"id": "good"} | {name: [float(v) for v in row[name]] for name in row}
        pd.DataFrame([good, good | {"id": "bad", column: values}]).to_parquet(path)
        first, second = read_crystals(path)
    assert first.structure is not None
    assert SAME.fit(first.structure, structure)
    assert second.structure is None
    assert second.error
