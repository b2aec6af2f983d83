"""What the user writes reaches a command as one word: nothing of it means anything to a shell."""

import re
import shutil

import yaml
from helpers.copies import REPOSITORY, Copy

# Numbers, or texts that the settings and the wildcard constraints have made harmless.
HARMLESS = {
    "params.seed", "resources.nodes", "resources.processes_per_node", "resources.runtime",
    "threads", "wildcards.round", "wildcards.shard",
}  # fmt: skip
UNKIND = """it's "my" $(touch ran) `touch ran` data; touch ran"""


def test_every_text_in_a_command_is_quoted() -> None:
    seen = set()
    for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")):
        for command in re.findall(r"^    shell:\n((?: {8}.*\n)+)", path.read_text(), re.M):
            fields = set(re.findall(r"\{([^{}]+)\}", command))
            seen |= fields
            bare = {field for field in fields if not field.endswith(":q")}
            assert bare <= HARMLESS, path
    assert len(seen) > 20


def test_a_source_with_spaces_quotes_and_commands(copy: Copy) -> None:
    folder = copy.folder / UNKIND
    folder.mkdir()
    shutil.copy(copy.folder / "resources/mp20/crystals.parquet", folder / "all.parquet")
    (copy.folder / "mine.yaml").write_text(
        yaml.safe_dump({"dataset": {"sources": {"all": f"{UNKIND}/all.parquet"}, "limit": 5}})
    )
    wanted = "results/default/dataset/structures.parquet"
    copy.snakemake("--configfile", "mine.yaml", "--cores", "1", wanted)
    assert (copy.folder / wanted).is_file()
    assert not list(copy.folder.rglob("ran"))
