"""A made-up run whose tables have the columns of the real stages."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from crystalformer_rl.config import Config
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.columns import COLUMNS
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.report.run import Run

_PROTOTYPES = (
    (225, "Fm-3m", (5.6, 5.6, 5.6, 90, 90, 90), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    (221, "Pm-3m", (3.9, 3.9, 3.9, 90, 90, 90), ["Na", "Ti", "Cl"],
     [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
    (216, "F-43m", (5.4, 5.4, 5.4, 90, 90, 90), ["Na", "Cl"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    (136, "P4_2/mnm", (4.6, 4.6, 3.0, 90, 90, 90), ["Na", "Cl"], [[0, 0, 0], [0.305, 0.305, 0]]),
    (194, "P6_3/mmc", (3.2, 3.2, 10.4, 90, 90, 120), ["Na", "Cl"],
     [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]),
    (166, "R-3m", (3.0, 3.0, 14.0, 90, 90, 120), ["Na", "Ti", "Cl"],
     [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.26]]),
    (62, "Pnma", (5.4, 3.8, 5.8, 90, 90, 90), ["Na", "Cl"], [[0.2, 0.25, 0.1], [0.05, 0.25, 0.65]]),
)  # fmt: skip
_INSTEAD = {
    "Na": ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "La"),
    "Ti": ("Ti", "Zr", "Al", "Nb", "Fe"),
    "Cl": ("O", "S", "F", "Cl", "N", "Se"),
}

# Values of the columns that nothing here depends on.
_ANY = {"text": "any", "flag": True, "integer": 1, "number": 1.0}


@cache
def _prototype(index: int) -> tuple[int, Structure]:
    group, symbol, lattice, elements, sites = _PROTOTYPES[index]
    cell = Lattice.from_parameters(*lattice)
    return group, Structure.from_spacegroup(symbol, cell, elements, sites).get_primitive_structure()


def structures(
    counts: dict[str, int], *, seed: int = 0, shift: dict[str, float] | None = None
) -> pd.DataFrame:
    """A table as of the evaluate stage; ``shift`` lowers a policy's energies, eV/atom.

    A column that is in the list and not made up here is null.
    """
    generator = np.random.default_rng(seed)
    rows = [
        _row(generator, policy, index, lower=(shift or {}).get(policy, 0.0))
        for policy, count in counts.items()
        for index in range(count)
    ]
    table = pd.DataFrame([row for row, _, _ in rows])
    generated = structure_columns([first for _, first, _ in rows])
    relaxed = structure_columns([last for _, _, last in rows], prefix="relaxed_")
    lists = {name: pd.Series(v, dtype=object) for name, v in (generated | relaxed).items()}
    table = table.assign(num_atoms=table["num_atoms"].astype("Int64"), **lists)
    wanted = [column for column in COLUMNS if not column.only_with]
    others = {column.name: _ANY[column.type] for column in wanted if column.name not in table}
    return table.assign(**others)[[column.name for column in wanted]]


def _row(
    generator: np.random.Generator, policy: str, index: int, *, lower: float
) -> tuple[dict[str, Any], Structure | None, Structure | None]:
    group, prototype = _prototype(int(generator.integers(len(_PROTOTYPES))))
    chosen = {name: str(generator.choice(others)) for name, others in _INSTEAD.items()}
    primitive = Structure(
        prototype.lattice.scale(prototype.volume * float(generator.uniform(0.8, 1.3))),
        [chosen[site.specie.symbol] for site in prototype],
        prototype.frac_coords,
    )
    chance = generator.uniform(size=6)
    decoded = bool(chance[0] > 0.04)
    relaxed = bool(decoded and chance[1] > 0.08)
    known = bool(decoded and chance[2] > 0.02)
    initial = float(generator.gamma(1.6, 0.28) - lower) if known else None
    final = float(max(-0.25, initial * 0.35 + generator.normal(0, 0.06))) if known else None
    stable = bool(final is not None and final < 0.1)
    unique, novel = bool(decoded and chance[3] > 0.06), bool(relaxed and chance[4] > 0.3)
    ionic = float(generator.gamma(2.0, 1.3)) if chosen["Cl"] in {"O", "F", "Cl", "N"} else 0.1
    gap = float(max(0.0, ionic)) if relaxed else None
    dielectric = (
        float(1.8 + 14 / (1 + (gap or 0)) * generator.lognormal(0, 0.35)) if relaxed else None
    )
    failure = None
    if not decoded:
        failure = "decode: the cell has no volume"
    elif not known:
        failure = "hull: no_element_reference"
    elif index == 0:
        failure = "match: the matcher gave up"
    row = {
        "id": f"{policy}-0000-{index:04d}", "policy": policy, "space_group": group,
        "prototype": f"{group} ab" if decoded else None,
        "formula": primitive.composition.reduced_formula if decoded else None,
        "num_atoms": len(primitive) if decoded else None, "decoded": decoded, "failure": failure,
        "invalid_reason": None if decoded else "no structure",
        "valid_distance": decoded, "valid_volume": decoded,
        "valid_charge": bool(decoded and chance[5] > 0.15),
        "valid": bool(decoded and chance[5] > 0.15), "valid_structure": decoded,
        "valid_density": decoded, "density": float(primitive.density) if decoded else None,
        "relax_status": None if not decoded else "converged" if relaxed else "not_converged",
        "relaxed": relaxed, "e_above_hull_initial": initial,
        "e_above_hull": final,
        "hull_status": None if not decoded else "ok" if known else "no_element_reference",
        "hull_references": 9 if known else 0,
        "hull_compounds": 7 if known else 0,
        "stable_initial": bool(initial is not None and initial < 0.1), "stable": stable,
        "supported": bool(final is not None and final >= -0.1),
        "unique": unique, "novel": novel, "stable_unique": stable and unique,
        "sun": stable and unique and novel,
        "unique_strict": decoded, "novel_strict": relaxed, "stable_unique_strict": stable,
        "sun_strict": stable and relaxed,
        "matched_id": None if novel or not relaxed else f"mp-{generator.integers(1, 99999)}",
        "nearest_known": float(generator.gamma(1.5, 0.1)) if relaxed else None,
        "nearest_known_id": f"near-{policy}-{index}" if relaxed else None,
        "band_gap": gap, "band_gap_std": 0.2 if relaxed else None, "dielectric": dielectric,
        "dielectric_std": 0.6 if relaxed else None,
        "figure_of_merit": gap * dielectric if gap is not None and dielectric else None,
        "rmsd_matched": relaxed,
        "rmsd": float(generator.gamma(1.5, 0.05)) if relaxed else None,
        "log_prob": float(generator.normal(-20, 5)),
    }  # fmt: skip
    return row, primitive if decoded else None, primitive if relaxed else None


def hull() -> pd.DataFrame:
    """Entries of a hull: two compounds of each metal with each anion."""
    rows = [
        (f"{metal}{part}", energy, f"mp-{place}")
        for metal in (*_INSTEAD["Na"], *_INSTEAD["Ti"])
        for place, (part, energy) in enumerate(
            (anion + count, -0.1 * len(anion + metal) - 0.3 * place)
            for anion in _INSTEAD["Cl"]
            for place, count in enumerate(("", "2"))
        )
    ]
    return pd.DataFrame(rows, columns=["formula", "formation_energy_per_atom", "id"])


def dataset(table: pd.DataFrame) -> pd.DataFrame:
    """A dataset with the crystal that each row matches or is nearest to: that of the row."""
    rows = table[table["relaxed"]]
    names = rows["matched_id"].fillna(rows["nearest_known_id"])
    structure = {name: rows[f"relaxed_{name}"] for name in ("lattice", "numbers", "positions")}
    return pd.DataFrame(
        {"id": names, "formula": rows["formula"], **structure, "e_above_hull": 0.012}
    )


def run(
    table: pd.DataFrame,
    *,
    config: Config | None = None,
    histories: dict[str, list[pd.DataFrame]] | None = None,
    provenance: dict[str, dict[str, Any]] | None = None,
    crystals: dict[str, pd.DataFrame] | None = None,
    hull: pd.DataFrame | None = None,
    dataset: pd.DataFrame | None = None,
    **options: Any,
) -> Run:
    """A run for the report; ``options`` are those of :func:`summarise`."""
    summary = summarise(table, **options)
    return Run(
        table, summary, config or Config(), histories or {}, provenance or {}, crystals or {},
        hull, dataset,
    )  # fmt: skip


def losses(*, epochs: int = 60, start: float = 31.0, end: float = 9.0) -> pd.DataFrame:
    """A history as of pretraining: the row of epoch 0 has no training loss."""
    epoch = np.arange(epochs + 1)
    falling = end + (start - end) * np.exp(-epoch / 9)
    train = falling - 0.02 * epoch
    train[0] = np.nan
    return pd.DataFrame(
        {"epoch": epoch, "step": 14 * epoch, "learning_rate": 1e-3, "train_loss": train,
         "val_loss": falling + 0.6}
    )  # fmt: skip


def round_history(number: int, *, steps: int = 12, merit: bool = False) -> pd.DataFrame:
    """One round of a reinforcement branch."""
    generator = np.random.default_rng(number)
    step = np.arange(1, steps + 1) + (number - 1) * steps
    energy = 0.35 + 0.25 * np.exp(-step / 10) + generator.normal(0, 0.01, steps)
    columns = {
        "step": step, "round": number, "reward_mean": -energy, "reward_std": 0.3,
        "valid_fraction": 0.94, "kl": 4 * (1 - np.exp(-step / 12)),
        "unique_fraction": 0.99 - 0.001 * step, "ratio_max": 1.3, "grad_norm": 2.0,
        "baseline": -energy - 0.02, "seconds": 7.0, "e_above_hull_mean": energy,
    }  # fmt: skip
    if merit:
        columns |= {"band_gap_mean": 1 + 0.05 * step, "dielectric_mean": 6 + 0.1 * step}
    return pd.DataFrame(columns)


def rl_crystals(table: pd.DataFrame, *, steps: int, seed: int = 0) -> pd.DataFrame:
    """Crystals that a branch sampled, ten in a step, of the kinds that are in a table."""
    generator = np.random.default_rng(seed)
    rows = table[table["formula"].notna()].sample(10 * steps, replace=True, random_state=seed)
    return pd.DataFrame(
        {
            "step": np.repeat(np.arange(1, steps + 1), 10),
            "formula": rows["formula"].to_numpy(),
            "space_group": rows["space_group"].to_numpy(),
            "valid": generator.random(10 * steps) > 0.1,
            "e_above_hull": generator.gamma(1.5, 0.3, 10 * steps),
        }
    )


def sft_history(number: int, *, epochs: int) -> pd.DataFrame:
    """One round of a branch of iterated SFT."""
    epoch = np.arange(epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch, "step": 3 * epoch, "learning_rate": 1e-4,
            "train_loss": 12.0 - number - 0.1 * epoch, "val_loss": np.nan,
            "round": number, "low_fraction": 0.2 * number, "kept_fraction": 0.1 * number,
        }
    )  # fmt: skip


def record(stage: str, **counts: float) -> dict[str, Any]:
    """A provenance record."""
    return {
        "stage": stage, "settings": {"note": "<b>bold</b>"}, "code": "0123456789abcdef", "seed": 7,
        "device": "cpu", "inputs": {}, "python": "3.11.9", "platform": "Linux-6.1-x86_64",
        "packages": {"numpy": "2.2.0", "torch": "2.13.0", "smact": None},
        "git_commit": "c0ffee" * 6,
        "started": "2026-01-01T00:00:00Z", "wall_s": 12.3, "peak_memory_mib": 812.5,
        "counts": counts,
    }  # fmt: skip
