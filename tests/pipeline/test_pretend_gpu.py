"""The whole pipeline at smoke size, with every rule that may have a GPU on the pretend one."""

import re
from pathlib import Path

import pytest
from helpers.copies import REPOSITORY, Copy, copy_repository

from crystalformer_rl.files import read_json, read_table

pytestmark = pytest.mark.slow

ON_GPU = {"pretrain", "sft", "rl", "sample", "relax"}
VERBS = ("relax", "elements", "energies", "assess")


def on_the_pretend_gpu(copy: Copy) -> None:
    """Start the verbs of GPU rules through the pretend device."""
    call = re.compile(rf"python -m crystalformer_rl (?=(?:{'|'.join(VERBS)}) )")
    for path in sorted((copy.folder / "workflow/rules").glob("*.smk")):
        if call.search(path.read_text()):
            name = str(path.relative_to(copy.folder))
            copy.edit(
                name,
                lambda text: call.sub("python -m helpers.pretend_gpu -m crystalformer_rl ", text),
            )
    # The trainings and sample: jobs.launch starts them.
    copy.edit(
        "src/crystalformer_rl/jobs/launch.py",
        lambda text: text.replace(
            'PROGRAM = ["-m", "crystalformer_rl"]',
            'PROGRAM = ["-m", "helpers.pretend_gpu", "-m", "crystalformer_rl"]',
        ),
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_repository(tmp_path_factory.mktemp("pretend") / "clone")
    on_the_pretend_gpu(copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
        said = copy.snakemake("--configfile", "config/smoke.yaml")
    assert "Done. The report: results/smoke/report/index.html" in said
    return copy.folder / "results/smoke"


def test_the_gpu_did_what_it_may_do(results: Path) -> None:
    devices: dict[str, set[str]] = {}
    for path in results.rglob("*provenance.json"):
        record = read_json(path)
        devices.setdefault(record["stage"], set()).add(record["device"])
    assert {stage for stage, found in devices.items() if found == {"cuda"}} >= ON_GPU


def test_every_crystal_has_its_row(results: Path) -> None:
    table = read_table(results / "evaluate/structures.parquet")
    assert table["policy"].value_counts().to_dict() == dict.fromkeys(
        ["base", "sft", "rl-ehull", "rl-fom"], 12
    )
    assert table["energy_final"].notna().mean() > 0.3
    assert table["judge_energy"].notna().any()
    assert not table["relax_status"].isin(["out_of_memory", "error"]).any()
