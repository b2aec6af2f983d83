"""The files of the ``hull`` stage, as the stages after it read them."""

from pathlib import Path

from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.stability.elements import ElementReferences
from crystalformer_rl.stability.hull import Hull


def hull_files(folder: Path) -> list[Path]:
    """The two files of a hull."""
    return [Path(folder) / "hull.parquet", Path(folder) / "elements.json"]


def read_hull(folder: Path) -> tuple[Hull, ElementReferences]:
    """The hull, and the element energies that formation energies are measured from."""
    entries, elements = hull_files(folder)
    table = read_table(entries, columns=["formula", "formation_energy_per_atom"])
    _, references = read_elements(elements)
    hull = Hull(
        table["formula"].tolist(),
        table["formation_energy_per_atom"].to_numpy(),
        elements=references.energies.keys(),
    )
    return hull, references


def read_elements(path: Path) -> tuple[str, ElementReferences]:
    """Name of the potential and its energies of the elements, from ``elements.json``.

    Raises
    ------
    ValueError
        If the file lacks an entry or an energy is not a number.
    """
    record = read_json(path)
    if not isinstance(record, dict) or not {"potential", "energies"} <= record.keys():
        raise ValueError(f"{path}: must be an object with the entries potential and energies")
    energies = record["energies"]
    if not isinstance(energies, dict) or not energies:
        raise ValueError(f"{path}: energies must be an object of eV/atom by element symbol")
    bad = [name for name, energy in energies.items() if type(energy) not in (int, float)]
    if bad:
        raise ValueError(f"{path}: the energy of {bad[0]} is {energies[bad[0]]!r}, not a number")
    return str(record["potential"]), ElementReferences(
        {symbol: float(energy) for symbol, energy in energies.items()}
    )
