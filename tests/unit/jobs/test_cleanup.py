"""When checkpoints and journals are deleted."""

from pathlib import Path

from crystalformer_rl.jobs.cleanup import forget_finished

CHECKPOINTS = ("pretrain", "rl-ehull/round-1", "rl-ehull/round-2")
JOURNALS = ("relax/base/shard-0000", "relax/base/shard-0001", "judge/relax/sft/shard-0000")


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_what_unfinished_jobs_saved_stays(tmp_path: Path) -> None:
    checkpoints = [
        write(tmp_path / "checkpoints" / name / "0123/000000001-ab.safetensors")
        for name in CHECKPOINTS
    ]
    journals = [write(tmp_path / "checkpoints" / f"{name}.journal") for name in JOURNALS]
    write(tmp_path / "pretrain/provenance.json")
    write(tmp_path / "rl-ehull/round-1/provenance.json")
    write(tmp_path / "relax/base/shard-0000.provenance.json")
    forget_finished(tmp_path)
    assert [path.exists() for path in checkpoints] == [False, False, True]
    assert [path.exists() for path in journals] == [False, True, True]
    assert not (tmp_path / "checkpoints/pretrain").exists()

    write(tmp_path / "rl-ehull/round-2/provenance.json")
    for name in JOURNALS:
        write(tmp_path / f"{name}.provenance.json")
    forget_finished(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_saved_nothing(tmp_path: Path) -> None:
    write(tmp_path / "dataset/provenance.json")
    forget_finished(tmp_path)
    forget_finished(tmp_path / "none")
    assert (tmp_path / "dataset/provenance.json").exists()
