"""Where a policy lies: in a folder, or among those that come with the checkout."""

from pathlib import Path

from crystalformer_rl.model.folder import DESCRIPTION, WEIGHTS

PRETRAINED = Path(__file__).parents[3] / "resources" / "pretrained"


def policy_folder(name: str) -> Path:
    """The folder of a policy: a path, or the name of one in ``resources/pretrained``.

    Raises
    ------
    FileNotFoundError
        If it is neither; the message lists the names.
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
