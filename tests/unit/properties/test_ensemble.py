"""The shipped ensembles: plausible for textbook crystals, bounded everywhere, reproducible."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.files import read_json, write_json, write_tensors
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties.ensemble import (
    PROPERTIES,
    Ensemble,
    PropertyName,
    load_ensemble,
    read_ensemble,
)

# Name: length of the conventional cube in Å, elements of the primitive cell, where the second is.
CRYSTALS = {
    "NaCl": (5.69, ["Na", "Cl"], 0.5),
    "MgO": (4.25, ["Mg", "O"], 0.5),
    "Si": (5.47, ["Si", "Si"], 0.25),
    "GaAs": (5.75, ["Ga", "As"], 0.25),
    "Cu": (3.62, ["Cu"], None),
}
FACE_CENTRED = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
NAMES: tuple[PropertyName, ...] = ("band_gap", "dielectric")


def crystal(name: str) -> Structure:
    length, elements, second = CRYSTALS[name]
    positions = [[0.0] * 3] + ([] if second is None else [[second] * 3])
    return Structure(Lattice(FACE_CENTRED * length), elements, positions)


@pytest.fixture(scope="module")
def features() -> NDArray[np.float64]:
    rows = [
        e.features
        for e in load("chgnet").evaluate(cells_from([crystal(n) for n in CRYSTALS]), forces=False)
    ]
    return np.array([row for row in rows if row is not None])


def test_textbook_crystals_come_out_in_order(features: NDArray[np.float64]) -> None:
    gap = dict(zip(CRYSTALS, load_ensemble("band_gap").predict(features).mean, strict=True))
    epsilon = dict(zip(CRYSTALS, load_ensemble("dielectric").predict(features).mean, strict=True))
    assert 4 < gap["NaCl"] < 6.5
    assert 2 < gap["MgO"] < 6
    assert 0.2 < gap["Si"] < 1.3
    assert gap["GaAs"] < 1
    assert gap["Cu"] < 0.05
    assert 2 < epsilon["NaCl"] < 3
    assert 2.5 < epsilon["MgO"] < 5
    assert 8 < epsilon["Si"] < 20
    assert 8 < epsilon["GaAs"] < 30


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_batch(
    name: PropertyName, features: NDArray[np.float64]
) -> None:
    ensemble = load_ensemble(name)
    whole = ensemble.predict(features)
    for index, row in enumerate(features):
        alone = ensemble.predict(row[None])
        assert alone.mean[0] == pytest.approx(whole.mean[index], rel=1e-12)
        assert alone.std[0] == pytest.approx(whole.std[index], rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50)
@given(
    features=arrays_of.arrays(
        np.float64, (3, 64), elements=st.floats(-1e6, 1e6, allow_nan=False, width=32)
    )
)
def test_no_features_lead_out_of_the_known_range(
    name: PropertyName, features: NDArray[np.float64]
) -> None:
    ensemble = load_ensemble(name)
    answer = ensemble.predict(features)
    assert (answer.mean >= PROPERTIES[name].minimum).all()
    assert (answer.mean <= ensemble.maximum).all()
    assert (answer.std >= 0).all()
    assert np.isfinite(answer.std).all()


def test_features_that_are_not_finite_spoil_only_their_row(features: NDArray[np.float64]) -> None:
    ensemble = load_ensemble("band_gap")
    spoilt = features.copy()
    spoilt[1, 5] = np.nan
    answer, whole = ensemble.predict(spoilt), ensemble.predict(features)
    assert np.isnan([answer.mean[1], answer.std[1]]).all()
    np.testing.assert_allclose(np.delete(answer.mean, 1), np.delete(whole.mean, 1), rtol=1e-12)


def test_no_rows_and_wrong_widths() -> None:
    ensemble = load_ensemble("dielectric")
    assert ensemble.predict(np.empty((0, 64))).mean.shape == (0,)
    with pytest.raises(ValueError, match=r"\(n, 64\), got \(2, 3\)"):
        ensemble.predict(np.zeros((2, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_the_metadata_says_where_the_weights_come_from(name: PropertyName) -> None:
    record = read_json(Path(read_ensemble.__globals__["__file__"]).parent / f"{name}.json")
    assert record["property"] == name
    assert all(len(source["sha256"]) == 64 for source in record["data"])
    test = record["errors"]["test"]
    assert test["rows"] > 100
    assert test["mae"] < 0.6 * test["mae_of_median"]
    assert test["spearman"] > 0.75
    assert 0.55 < record["errors"]["test"]["coverage"] < 0.95


def _write(folder: Path, ensemble: Ensemble) -> None:
    name = ensemble.property_.name
    write_tensors(folder / f"{name}.safetensors", ensemble.arrays)
    write_json(
        folder / f"{name}.json", {"maximum": ensemble.maximum, "std_scale": ensemble.std_scale}
    )


def test_round_trip(tmp_path: Path, features: NDArray[np.float64]) -> None:
    ensemble = load_ensemble("dielectric")
    _write(tmp_path, ensemble)
    again = read_ensemble(tmp_path, "dielectric").predict(features)
    assert (again.mean == ensemble.predict(features).mean).all()
    assert (again.std == ensemble.predict(features).std).all()


def test_bad_weight_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="unknown property 'colour': choose one of band_gap, dielectric"
    ):
        read_ensemble(tmp_path, "colour")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="band_gap"):
        read_ensemble(tmp_path, "band_gap")
    ensemble = load_ensemble("band_gap")
    _write(tmp_path, ensemble)
    write_json(tmp_path / "band_gap.json", {"maximum": 1.0})
    with pytest.raises(ValueError, match="band_gap: missing entries: std_scale"):
        read_ensemble(tmp_path, "band_gap")
    damaged = (tmp_path / "band_gap.safetensors").read_bytes()[:1000]
    (tmp_path / "band_gap.safetensors").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"band_gap\.safetensors"):
        read_ensemble(tmp_path, "band_gap")
