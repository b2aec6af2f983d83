"""The files that the user named."""

LAYOUT = (
    "put there a table with the columns material_id and cif (csv, csv.gz, csv.xz or parquet), an "
    "extxyz file or a folder of CIFs; where the crystals of an overlay come from stands at its "
    "head (config/alex20.yaml)"
)


def existing(path, key):
    """The path of an input, here or else in the repository; or of a file to be downloaded."""
    name = path.removeprefix(DOWNLOADS)
    if Path(path).exists() or (name != path and name in MANIFEST):
        return path
    if (ROOT / path).exists():
        return str(ROOT / path)
    hint = ""
    if name != path:
        hint = f"; resources/manifest.yaml can download: {', '.join(MANIFEST)}"
    elif key.startswith("dataset.sources"):
        hint = f"; {LAYOUT}"
    refuse(f"{key} = {path}: no such file or folder{hint}")
