"""What of a result is the same in every run."""

from pathlib import Path
from typing import Any

from crystalformer_rl.files import read_json, read_table, read_tensors

MEASURED = ("started", "wall_s", "cpu_s", "peak_memory_mib", "items_per_s", "git_commit")
"""Of a provenance: when and how fast."""
OF_THIS_JOB = ("items", "from_cache", "steps_of_this_job", "processes")
"""Of its counts: what one of several jobs has done."""


def content(path: Path) -> Any:
    """The content of a file, without what is measured, to be compared with ``==``.

    Files of other kinds than those that are named here are compared by their bytes. Those that
    have a reader are read with it, too.

    Raises
    ------
    ValueError
        If it is not whole.
    """
    if path.name.endswith("provenance.json"):
        record = read_json(path)
        counts = {k: v for k, v in record["counts"].items() if k not in OF_THIS_JOB}
        return {k: v for k, v in record.items() if k not in MEASURED} | {"counts": counts}
    if path.name == "history.parquet":
        table = read_table(path).drop(columns="seconds", errors="ignore")
        return (list(table.columns), table.to_csv(index=False, float_format="%.17g"))
    if path.suffix == ".parquet":
        read_table(path)
    elif path.suffix == ".json":
        read_json(path)
    elif path.suffix == ".safetensors":
        read_tensors(path)
    elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
        raise ValueError(f"{path}: not a whole page")
    return path.read_bytes()
