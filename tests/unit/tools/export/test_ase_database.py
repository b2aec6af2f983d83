"""The ASE database: structures, energies and the columns of the report, as ASE reads them."""

from pathlib import Path

import ase.db
import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.columns import COLUMNS
from crystalformer_rl.tools.export.ase_database import OF_ASE, RENAMED, write_database
from crystalformer_rl.tools.export.records import scalar_columns

SALT = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def database(tmp_path: Path) -> ase.db.core.Database:
    table = pd.DataFrame(
        {
            "id": ["base-0", "0017"],
            "space_group": pd.array([221, None], dtype="Int64"),
            "energy_final": [-3.5, np.nan],
            "judge_energy": [-3.4, np.nan],
            "e_above_hull": [0.05, np.inf],
            "stable": [True, False],
            "matched_id": [None, "mp-1"],
            "not_a_column": [1, 2],
            **structure_columns([SALT, SALT]),
        }
    )
    energies = np.array([-7.0, np.nan])
    write_database(tmp_path / "ase.db", table, [SALT, SALT], energies)
    return ase.db.connect(tmp_path / "ase.db")


def test_values_come_back(database: ase.db.core.Database) -> None:
    row = database.get(structure_id="base-0")
    assert row.energy == -7.0
    assert row.key_value_pairs == {
        "structure_id": "base-0", "space_group": 221, "energy_final": -3.5, "judge_energy": -3.4,
        "e_above_hull": 0.05, "stable": True,
    }  # fmt: skip
    assert AseAtomsAdaptor.get_structure(row.toatoms(), cls=Structure) == SALT


def test_it_can_be_queried(database: ase.db.core.Database) -> None:
    assert [row.id for row in database.select("stable=1,e_above_hull<0.1,Na")] == [1]
    assert [row.id for row in database.select(stable=False)] == [2]


def test_nulls_are_absent_and_a_number_as_text_is_kept_apart(
    database: ase.db.core.Database,
) -> None:
    row = database.get(2)
    assert row.key_value_pairs == {"stable": False, "matched_id": "mp-1"}
    assert row.data == {"structure_id": "0017"}
    assert row.get("energy") is None


def test_ase_accepts_the_name_of_every_column() -> None:
    columns = scalar_columns(pd.DataFrame(columns=[one.name for one in COLUMNS]))
    names = [RENAMED.get(one.name, one.name) for one in columns if one.name not in OF_ASE]
    ase.db.core.check(dict.fromkeys(names, 1.0))
    assert {"energy_final", "judge_energy", "e_above_hull", "sun", "structure_id"} <= set(names)
