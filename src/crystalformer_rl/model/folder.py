"""The folder of a policy: its files, and the space-group histogram in its description.

Nothing here loads weights or torch: a run can be refused before its first job.
"""

import json
from pathlib import Path

from crystalformer_rl.config import Config

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
PRETRAINED = Path(__file__).parents[3] / "resources" / "pretrained"
WITHOUT_HISTOGRAM = (
    "name space groups (space_groups, or --space-group of `sample`), use uniform weights "
    "(space_group_weights: uniform, or --uniform of `sample`), or import the policy again with "
    "--space-groups mp20-small"
)
"""What to do with a policy that has no histogram of its training space groups."""


def policy_folder(name: str) -> Path:
    """The folder of a policy: a path, or the name of one in ``resources/pretrained``.

    Raises
    ------
    FileNotFoundError
        If there is no such policy; the message lists the names.
    """
    for folder in (Path(name), PRETRAINED / name):
        if all(path.is_file() for path in policy_files(folder)):
            return folder
    known = ", ".join(sorted(path.parent.name for path in PRETRAINED.glob(f"*/{DESCRIPTION}")))
    raise FileNotFoundError(
        f"policy {name!r}: no folder with {WEIGHTS} and {DESCRIPTION}, and not the name of one in "
        f"resources/pretrained, which has {known or 'none'}"
    )


def policy_files(folder: Path) -> list[Path]:
    """The two files of a policy."""
    return [Path(folder) / WEIGHTS, Path(folder) / DESCRIPTION]


def unfit(folder: Path, config: Config) -> str | None:
    """Why a run with these settings cannot start from the policy, or None if it can.

    The policies that are trained from it have its histogram, and ``sft`` trains on crystals that
    are drawn as ``sample`` says.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        return f"{path}: no such file; a policy is {DESCRIPTION} + {WEIGHTS}"
    try:
        known = any(json.loads(path.read_text(encoding="utf-8"))["space_group_counts"])
    except (KeyError, TypeError, ValueError) as error:
        return f"{path}: not the description of a policy: {error!r}"
    sections = {"sample": config.sample} | {f"rl.{name}": one for name, one in config.rl.items()}
    drawn = [name for name, section in sections.items() if section.by_histogram]
    if known or not drawn:
        return None
    return (
        f"the policy has no histogram of space groups, by which {', '.join(drawn)} would draw "
        f"them: {WITHOUT_HISTOGRAM}"
    )
