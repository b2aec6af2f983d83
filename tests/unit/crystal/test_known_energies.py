"""Which energies of a table are those of a potential."""

import numpy as np
import pandas as pd
import pytest

from crystalformer_rl.crystal.known_energies import known_energies

NAN = np.nan


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, [NAN, NAN, NAN]),
        ({"energy_per_atom": [-1.0, -2.0, -3.0]}, [NAN, NAN, NAN]),
        (
            {"energy_per_atom": [-1.0, -2.0, NAN], "potential": ["chgnet", None, "chgnet"]},
            [-1.0, NAN, NAN],
        ),
        ({"energy_per_atom:chgnet": [-1.0, None, -np.inf]}, [-1.0, NAN, NAN]),
        ({"energy_per_atom:orb": [-1.0, -2.0, -3.0]}, [NAN, NAN, NAN]),
        (
            {
                "energy_per_atom": [-1.0, -2.0, -3.0],
                "potential": ["chgnet", "chgnet", "orb"],
                "energy_per_atom:chgnet": [-4.0, None, None],
            },
            [-4.0, -2.0, NAN],
        ),
    ],
)
def test_energies_of_one_potential(columns: dict[str, list[object]], expected: list[float]) -> None:
    table = pd.DataFrame({"id": ["a", "b", "c"], **columns})
    np.testing.assert_array_equal(known_energies(table, "chgnet"), expected)
    strings = table.convert_dtypes()
    np.testing.assert_array_equal(known_energies(strings, "chgnet"), expected)
