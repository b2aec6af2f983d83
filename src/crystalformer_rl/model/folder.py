"""The folder of a policy: its files, and the space-group histogram in its description.

Nothing here loads weights or torch: a run can be refused before its first job.
"""

from collections.abc import Sequence
from pathlib import Path

from crystalformer_rl.files import check_tensors, read_json
from crystalformer_rl.shipped import RESOURCES

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
PRETRAINED = RESOURCES / "pretrained"
WITHOUT_HISTOGRAM = (
    "name space groups (space_groups), set space_group_weights: uniform, or import the policy with "
    "a histogram (import-checkpoint --space-groups mp20-small)"
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


def check_policy(folder: Path, *, by_histogram: Sequence[str]) -> None:
    """Refuse a policy that a run cannot start from.

    Parameters
    ----------
    by_histogram
        What samples space groups by the policy's histogram, as the user knows it: ``rl.ehull``.

    Raises
    ------
    FileNotFoundError
        If the policy has no description or no weights.
    ValueError
        If one of them is damaged, or there is no histogram where one is needed.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a policy is {DESCRIPTION} + {WEIGHTS}")
    try:
        known = any(read_json(path)["space_group_counts"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the description of a policy: {error!r}") from error
    check_tensors(Path(folder) / WEIGHTS)
    if by_histogram and not known:
        raise ValueError(
            f"the policy has no histogram of space groups, by which {', '.join(by_histogram)} "
            f"would sample them: {WITHOUT_HISTOGRAM}"
        )
