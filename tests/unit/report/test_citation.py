"""How to cite a run."""

import re

import yaml
from helpers import synthetic

from crystalformer_rl.report import citation
from crystalformer_rl.shipped import CITATION


def record(*paths: str) -> dict[str, object]:
    files = [{"path": path, "sha256": "0123456789abcdef" * 4} for path in paths]
    return synthetic.record("dataset") | {"inputs": {"all": files}}


def line(*paths: str) -> str:
    table = synthetic.structures({"base": 2})
    return citation.line(synthetic.run(table, provenance={"dataset": record(*paths)}))


def test_the_line_says_code_data_potentials_and_method() -> None:
    said = line("resources/mp20/crystals.parquet")
    version = yaml.safe_load(CITATION.read_text())["version"]
    assert f"version {version}, commit c0ffeec0ffee." in said
    assert "seed 0, 2026-01-01." in said
    assert "Jain et al., APL Mater. 1, 011002 (2013)" in said
    assert "crystals.parquet (SHA-256 0123456789ab)" in said
    assert "Relaxed with CHGNet" in said
    assert "arXiv:2504.02367" in said


def test_a_download_is_cited_by_the_manifest_and_a_file_of_ones_own_by_its_checksum() -> None:
    parts = [f"resources/downloads/alex_20/{name}.csv" for name in ("train", "val")]
    assert line(*parts).count("Schmidt et al., Mater. Today Phys.") == 1
    assert "Data: mine.csv (SHA-256 0123456789ab)." in line("mine.csv")


def test_a_run_without_records_is_cited_without_data() -> None:
    said = citation.line(synthetic.run(synthetic.structures({"base": 2})))
    assert "Data:" not in said
    assert "commit" not in said


def test_bibtex_has_every_work_under_a_key_of_its_own() -> None:
    works = citation.read_citation()
    text = citation.bibtex(works)
    keys = re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)
    assert len(set(keys)) == 1 + len(works["references"])
    assert text.count("{") == text.count("}")
    assert "author = {Cao, Zhendong and Wang, Lei}" in text
    assert "note = {arXiv:2504.02367}" in text
