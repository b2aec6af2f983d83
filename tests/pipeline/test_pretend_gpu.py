"""The whole pipeline at smoke size, with every rule that may have a GPU on the pretend one."""

import re
from pathlib import Path

import pytest
from helpers.copies import REPOSITORY, Copy, copy_repository

from crystalformer_rl.files import read_json, read_table, write_table

pytestmark = pytest.mark.slow

ELEMENTS = "results/smoke/elements/elements.json"


def gpu_stages() -> set[str]:
    """The stages whose rules ask for a GPU; a rule that uses another one runs the same stage."""
    text = "\n".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    rules = re.split(r"^(?:use )?rule ", text, flags=re.MULTILINE)[1:]
    return {rule.partition(":")[0] for rule in rules if re.search(r"^ +gpu=", rule, re.MULTILINE)}


def on_the_pretend_gpu(copy: Copy) -> None:
    """Start the stages of GPU rules through the pretend device."""
    call = re.compile(rf"python -m crystalformer_rl (?=(?:{'|'.join(gpu_stages())}) )")
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
    # The energies of the elements are shipped. Here those of a few are computed too.
    crystals = copy.folder / "resources/elements/crystals.parquet"
    write_table(crystals, read_table(crystals).head(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
        said = copy.snakemake("all", ELEMENTS, "--configfile", "config/smoke.yaml")
    assert "Done. The report: results/smoke/report/index.html" in said
    return copy.folder / "results/smoke"


def test_every_rule_that_asks_for_a_gpu_used_it(results: Path) -> None:
    devices: dict[str, set[str]] = {}
    for path in results.rglob("*provenance.json"):
        record = read_json(path)
        devices.setdefault(record["stage"], set()).add(record["device"])
    assert {stage for stage, found in devices.items() if found == {"cuda"}} == gpu_stages()


def test_every_crystal_has_its_row(results: Path) -> None:
    table = read_table(results / "evaluate/structures.parquet")
    assert table["policy"].value_counts().to_dict() == dict.fromkeys(
        ["base", "sft", "rl-ehull", "rl-fom"], 12
    )
    assert table["energy_final"].notna().mean() > 0.3
    assert table["judge_energy"].notna().any()
    assert not table["relax_status"].isin(["out_of_memory", "error"]).any()
