"""``optimade.yaml``: a folder of CIFs and their properties, described for optimade-maker.

The format is that of github.com/materialscloud-org/optimade-maker, version 0.2.0 of its
configuration. ``optimake convert FOLDER`` makes an OPTIMADE database of it, and ``optimake serve``
answers queries.
"""

from pathlib import Path

import pandas as pd
import yaml

from crystalformer_rl.crystal.writers import file_name
from crystalformer_rl.evaluation.columns import Column
from crystalformer_rl.files import write_json, write_text
from crystalformer_rl.tools.export.records import scalar_columns, values

VERSION = "0.2.0"
TYPES = {"text": "string", "flag": "boolean", "integer": "integer", "number": "float"}


def write_optimade(folder: Path, table: pd.DataFrame) -> None:
    """Write ``optimade.yaml`` and ``properties.json`` next to ``cifs/``.

    Properties belong to a CIF by the name of its file, :func:`~.writers.file_name`.
    """
    columns = scalar_columns(table)
    properties = {file_name(row["id"]): values(row, columns) for _, row in table.iterrows()}
    write_json(folder / "properties.json", properties)
    description = {
        "config_version": VERSION,
        "database_description": f"Crystals of {folder.name}, generated and evaluated by "
        "crystalformer-rl",
        "entries": [
            {
                "entry_type": "structures",
                "entry_paths": [{"path": "cifs", "matches": ["*.cif"]}],
                "property_paths": [{"path": "properties.json"}],
                "property_definitions": [_definition(column) for column in columns],
            }
        ],
    }
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    write_text(folder / "optimade.yaml", text)


def _definition(column: Column) -> dict[str, str]:
    unit = {"unit": column.unit} if column.unit else {}
    return {
        "name": column.name,
        "title": column.title or column.name.replace("_", " "),
        "description": column.meaning,
        **unit,
        "type": TYPES[column.type],
    }
