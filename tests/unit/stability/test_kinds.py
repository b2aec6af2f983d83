"""Energies of another kind than a hull needs."""

from dataclasses import replace

import pytest

from crystalformer_rl.stability.entries import MP2020, UNSTATED, HullEntry
from crystalformer_rl.stability.kinds import (
    check_elements,
    check_size,
    refuse_other_functionals,
)


@pytest.mark.parametrize("name", ["GGA+U", "GGA_U", "PBE+U"])
def test_a_hubbard_u_without_oxygen_or_fluorine_is_rejected(name: str) -> None:
    alloy = HullEntry("AlFe", -5.0, run_type=name)
    oxide = HullEntry("FeO", -5.0, MP2020, run_type=name)
    plain = HullEntry("AlNi", -5.0, run_type="GGA")
    found = refuse_other_functionals("hull.json", [alloy, oxide, plain])
    assert found[1:] == [oxide, plain]
    assert "Hubbard U only in oxides" in (found[0].problem or "")


def formation(**energies: float) -> list[HullEntry]:
    return [
        HullEntry(formula, energy, UNSTATED, place=f"row {row}")
        for row, (formula, energy) in enumerate(energies.items(), start=1)
    ]


def test_elements_are_near_0() -> None:
    polymorphs = formation(C=0.0, C60=0.4, O3=0.6, MgO=-3.0)
    assert check_elements("a.csv", polymorphs) == polymorphs
    lowest = check_elements("a.csv", formation(Mg=0.0, Mg2=-0.5, Fe=-0.05))
    assert [entry.problem is None for entry in lowest] == [True, False, True]
    with pytest.raises(ValueError, match=r"a\.csv: .* Mg -1\.6 \(row 1\)\. Are these total"):
        check_elements("a.csv", formation(Mg=-1.6, O2=0.0, MgO=-6.0))
    with pytest.raises(ValueError, match=r"Mg 1\.5 \(row 1\), O2 2\.6 \(row 2\)"):
        check_elements("a.csv", formation(Mg=1.5, O2=2.6, MgO=5.2))


def test_sizes_that_cannot_be_ev_per_atom() -> None:
    good = formation(LaF3=-4.4, NaCl=-2.1, N3Xe=3.0)
    assert check_size("a.csv", good) == good
    for scale in (96.5, 1000.0, 23.06):
        other = [replace(entry, energy=scale * entry.energy) for entry in good]
        with pytest.raises(ValueError, match=r"a\.csv: .* LaF3 .*\(row 1\).* kJ/mol or meV"):
            check_size("a.csv", other)
    many = formation(**{f"Na{i}Cl": -1.0 for i in range(1, 21)}, KCl=-200.0)
    assert [entry.problem for entry in check_size("a.csv", many) if entry.problem] == [
        "KCl: formation energy -200 eV/atom: not between -6 and 10"
    ]
