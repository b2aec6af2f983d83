"""A job on a node that outlives its driver."""

from helpers.copies import Copy

RULE = """
rule orphan:
    output: "orphan"
    shell: "touch {output}"
"""


def test_what_a_job_finishes_after_its_driver_has_died_is_made_again(copy: Copy) -> None:
    """Nobody has recorded the settings it was made with. On a node Snakemake runs in this mode."""
    copy.edit("Snakefile", lambda old: old + RULE)
    copy.snakemake("orphan", "--mode", "remote", "--nolock", "--cores", "1")
    assert (copy.folder / "orphan").is_file()
    assert "Nothing to be done" not in copy.snakemake("orphan", "--dry-run")
    copy.snakemake("orphan")
    assert "Nothing to be done" in copy.snakemake("orphan", "--dry-run")
