"""What ``snakemake --report`` packs: the page, every figure and table, the results."""

import json
import zipfile
from typing import Any

from helpers.copies import Copy

REPORT = "results/default/report"


def packed(text: str, name: str) -> dict[str, Any]:
    """A variable of the page of the report."""
    start = text.index(f"var {name} = {{") + len(f"var {name} = ")
    return dict(json.JSONDecoder().raw_decode(text[start:])[0])


def test_the_report_has_each_file_with_category_label_and_caption(copy: Copy) -> None:
    copy.finish()
    for path in ("figures/hull.svg", "figures/verdict.svg", "tables/verdict.csv"):
        (copy.folder / REPORT / path).write_text("<svg/>")
    copy.snakemake("--report", "report.zip")
    with zipfile.ZipFile(copy.folder / "report.zip") as archive:
        text = archive.read("report/report.html").decode()
        names = {name.rsplit("/", 1)[-1] for name in archive.namelist()}
    files = {path: one for path, one in packed(text, "results").items() if "labels" in one}
    found = {one["name"]: one for one in files.values()}
    assert set(found) == {
        "index.html", "hull.svg", "verdict.svg", "verdict.csv", "ro-crate-metadata.json",
        "structures.parquet", "summary.json",
    }  # fmt: skip
    assert set(found) <= names
    assert set(packed(text, "categories")) == {"Report", "Figures", "Tables", "Results"}
    assert found["hull.svg"]["labels"] == {"figure": "hull"}
    assert all(one["labels"] and len(one["caption"]) > 50 for one in found.values())
    assert "<em>hull</em>" in found["hull.svg"]["caption"]
    assert found["structures.parquet"]["mime_type"] == "application/vnd.apache.parquet"
