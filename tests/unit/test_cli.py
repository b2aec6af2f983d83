"""The command line, run as a user runs it."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from crystalformer_rl import cli
from crystalformer_rl.config import RelaxSettings
from crystalformer_rl.tools import configure
from crystalformer_rl.verbs import VERBS


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crystalformer_rl", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_the_verbs_and_imports_no_stage() -> None:
    script = (
        "import sys; from crystalformer_rl.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'pymatgen', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "download" in done.stdout
    assert "configure" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_help_of_a_verb_shows_its_arguments() -> None:
    done = call("download", "--help")
    assert done.returncode == 0
    assert "usage: crystalformer-rl download [-h]" in done.stdout
    assert "--manifest" in done.stdout
    assert "--log-file" in done.stdout


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_a_summary(verb: str) -> None:
    module, summary = VERBS[verb]
    assert summary[0].isupper()
    assert {"add_arguments", "run"} <= set(vars(import_module(f"crystalformer_rl.{module}")))


def test_every_stage_is_a_verb() -> None:
    folder = Path(cli.__file__).parent / "stages"
    stages = {path.stem for path in folder.glob("[!_]*.py")} - {"options"}
    named = {module for module, _ in VERBS.values()}
    assert stages == {name.removeprefix("stages.") for name in named if name.startswith("stages.")}


def test_an_unknown_verb_names_the_closest_one() -> None:
    done = call("smaple")
    assert done.returncode == 2
    assert "unknown verb 'smaple' (did you mean sample?)" in done.stderr
    assert "did you mean" not in call("fly").stderr


def test_the_version_is_that_of_the_package() -> None:
    assert call("--version").stdout == f"crystalformer-rl {version('crystalformer-rl')}\n"


def test_too_little_memory_is_no_defect_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise MemoryError("17 GB")

    monkeypatch.setattr(configure, "run", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main(["configure"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "configure: does not fit into memory" in said
    assert "please report" not in said


def test_a_reader_that_ends_early_is_no_error() -> None:
    command = (
        f"{sys.executable} -m crystalformer_rl completion bash | true; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("141", "")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_verbs_and_their_options(shell: str) -> None:
    done = call("completion", shell)
    assert done.returncode == 0
    assert "import-checkpoint" in done.stdout
    assert "--first-element-temperature" in done.stdout


def test_a_mistake_is_one_line_with_the_traceback_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs/download.log"
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text("{}")
    done = call(
        "download", "--log-file", str(log), "--manifest", str(manifest), "--name", "x", "--out", "y"
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "x: not in" in done.stderr
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text()


def test_bad_settings_are_explained_by_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stage(_: object) -> None:
        RelaxSettings.model_validate_json('{"max_force": -1, "max_step": 1}')

    monkeypatch.setattr(configure, "run", stage)
    with pytest.raises(SystemExit) as end:
        cli.main(["configure"])
    assert end.value.code == 1
    message = capsys.readouterr().err
    assert "max_force = -1: input should be greater than 0" in message
    assert "max_step: unknown key (did you mean max_steps?)" in message


def test_the_code_of_an_interrupted_stage_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def stage(_: object) -> None:
        raise SystemExit(75)

    monkeypatch.setattr(configure, "run", stage)
    with pytest.raises(SystemExit) as end:
        cli.main(["configure"])
    assert end.value.code == 75


def test_a_defect_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stage(_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(configure, "run", stage)
    with pytest.raises(SystemExit) as end:
        cli.main(["configure", "--log-file", str(tmp_path / "a.log")])
    assert end.value.code == 1
    assert "KeyError: 'lost'" in (tmp_path / "a.log").read_text()


def test_threads_reach_the_libraries_before_they_are_loaded() -> None:
    script = (
        "from crystalformer_rl import cli\n"
        "try:\n    cli.main(['relax', '--threads', '1', '--help'])\nexcept SystemExit: pass\n"
        "import torch; print('threads', torch.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("threads 1\n")


def test_workers_do_not_repeat_warnings_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    script = (
        "import sys; from crystalformer_rl import cli\n"
        "from crystalformer_rl.tools import configure\n"
        "import subprocess\n"
        "worker = \"import warnings; warnings.warn('No Pauling electronegativity for Og')\"\n"
        "configure.run = lambda _: subprocess.run([sys.executable, '-c', worker], check=True)\n"
        "cli.main(['configure'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
