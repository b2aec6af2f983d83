"""A download that fails, and data that stand in its place."""

from helpers.copies import Copy

TRAIN = "resources/downloads/mp_20/train.csv"
MP20 = ("--cores", "1", "--configfile", "config/mp20.yaml")


def test_a_failed_download_says_what_to_do_and_where_its_log_is(copy: Copy) -> None:
    copy.edit(
        "resources/manifest.yaml", lambda old: old.replace("https://raw.githubuser", "file:///no")
    )
    output = copy.snakemake(TRAIN, *MP20, "--retries", "0", check=False)
    assert "mp_20/train.csv: download failed: " in output
    assert f") as {TRAIN}" in output
    assert "cannot be written" not in output
    assert "logs in logs/mp20/ and logs/download/." in output
    assert "download failed: " in (copy.folder / "logs/download/mp_20/train.csv.log").read_text()


def test_files_put_in_place_by_hand_are_verified_where_they_are_read(copy: Copy) -> None:
    for split in ("train", "val", "test"):
        path = copy.folder / f"resources/downloads/mp_20/{split}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("material_id,cif\n")
    output = copy.snakemake("results/mp20/dataset/structures.parquet", *MP20, check=False)
    assert "test.csv: does not match manifest.yaml: its git blob id is " in output
    assert "Downloading" not in output
    assert not (copy.folder / "results/mp20/dataset/structures.parquet").exists()
