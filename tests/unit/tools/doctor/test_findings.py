"""The table of findings, and the lines that are to be changed."""

from pathlib import Path

from crystalformer_rl.tools.doctor.findings import Finding, place, table


def test_the_table() -> None:
    found = [
        Finding("Python", "ok", "3.11.2"),
        Finding("disk", "problem", "1 GB free\n2 GB needed", "make room"),
    ]
    assert table(found) == (
        "ok       Python  3.11.2\n"
        "problem  disk    1 GB free\n"
        "                 2 GB needed\n"
        "                 -> make room\n"
        "\n1 problems, 0 warnings\n"
    )
    assert table(found[:1]).endswith("\nready to run: 0 problems, 0 warnings\n")


def test_the_last_file_that_has_a_key_is_named(tmp_path: Path) -> None:
    base, overlay = tmp_path / "config.yaml", tmp_path / "mine.yaml"
    base.write_text("# settings\nhull:\n  # potential\n  potential: chgnet\nrl: &a {x: 1}\nb: *a\n")
    overlay.write_text("run: mine\n")
    assert place([base, overlay], "hull", "potential") == f"{base}, line 4: `hull: potential:`"
    assert place([base, overlay], "run") == f"{overlay}, line 1: `run:`"
    assert place([base], "b", "x") == f"{base}, line 5: `b: x:`"
    assert place([base, overlay], "judge", "potential") == f"{overlay}: `judge: potential:`"
    assert place([base], "hull", "potential", "more") == f"{base}: `hull: potential: more:`"
