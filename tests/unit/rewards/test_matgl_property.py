"""Properties by matgl networks that were never trained; needs the ``matgl`` extra."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("matgl")

import matgl
from matgl.apps.pes import Potential as PackagePotential
from matgl.data.transformer import Normalizer
from matgl.models import MEGNet, TensorNet, TransformedTargetModel

from crystalformer_rl.config import MatglPropertyReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.files import read_json, write_json
from crystalformer_rl.rewards.base import RewardBatch, Sources, build

ELEMENTS = ("O", "Na", "Mg", "Cl")
Batch = list[Cell | None]


def megnet(**more: Any) -> MEGNet:
    return MEGNet(element_types=ELEMENTS, dim_node_embedding=4, dim_edge_embedding=8, **more)


NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "megnet": megnet,
    "tensornet": lambda: TensorNet(element_types=ELEMENTS, units=8, is_intensive=True),
}


def score(folder: Path, batch: Batch, **keys: Any) -> RewardBatch:
    plain = {"target": "ascending", "minimum": -5, "maximum": 5}
    settings = MatglPropertyReward(model=str(folder), **plain | keys)
    return build(settings, Sources(device="cpu")).score(batch)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_what_the_package_predicts(name: str, tmp_path: Path, batch: Batch) -> None:
    torch.manual_seed(1)
    NETWORKS[name]().save(tmp_path)
    found = score(tmp_path, batch)
    package = matgl.load_model(tmp_path)
    expected = [float(package.predict_structure(one.structure())) for one in batch[:3]]
    np.testing.assert_allclose(found.components["predicted"][:3], expected, rtol=1e-4)
    np.testing.assert_allclose(found.value[:3], (np.clip(expected, -5, 5) + 5) / 10, rtol=1e-4)
    # Undecodable, overlapping, of elements that the model does not know, collapsed.
    assert found.valid.tolist() == [True] * 3 + [False] * 6
    assert (found.value[3:] == 0).all()


def test_a_state_chooses_the_fidelity(tmp_path: Path, batch: Batch) -> None:
    torch.manual_seed(1)
    megnet(ntypes_state=4, dim_state_embedding=4, include_state=True).save(tmp_path)
    values = [score(tmp_path, batch[:1], state=k).components["predicted"][0] for k in (0, 1)]
    package = matgl.load_model(tmp_path)
    expected = [
        float(package.predict_structure(batch[0].structure(), state_attr=torch.tensor([k])))
        for k in (0, 1)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert values[0] != values[1]


def test_a_model_of_an_older_layout_is_refused(tmp_path: Path) -> None:
    megnet().save(tmp_path)
    about = read_json(tmp_path / "model.json")
    write_json(tmp_path / "model.json", about | {"@model_version": 0})
    with pytest.raises(ValueError, match="cannot be loaded: Incompatible model version"):
        score(tmp_path, [])


def test_a_model_that_only_code_can_read_is_refused(tmp_path: Path) -> None:
    """So is the published band gap, whose transformer is an object."""
    TransformedTargetModel(megnet(), Normalizer(0.0, 1.0)).save(tmp_path)
    with pytest.raises(ValueError, match="cannot be read without running code"):
        score(tmp_path, [])


def test_a_potential_is_refused(tmp_path: Path) -> None:
    network = TensorNet(element_types=ELEMENTS, units=8, is_intensive=False)
    PackagePotential(network).save(tmp_path)
    with pytest.raises(ValueError, match="is a potential: use it as matgl:"):
        score(tmp_path, [])


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere': no such folder"):
        score(tmp_path / "nowhere", [])
