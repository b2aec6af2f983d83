"""Deletes the checkpoints and journals of finished jobs at the end of a run.

They are in the folder ``checkpoints`` of the run, at the paths of the results they belong to. They
are kept when their job finishes: if the driver dies then, the finished job is not recorded and is
run again from its checkpoint or journal. They are no longer needed when the whole run has finished.
"""

import shutil
from pathlib import Path

from crystalformer_rl.layout import CHECKPOINTS


def forget_finished(run: Path) -> None:
    """Delete the checkpoints and journals of finished jobs; keep those of unfinished ones.

    A job has finished if its provenance exists, which it writes last.

    Parameters
    ----------
    run
        The folder of the run.
    """
    saved = run / CHECKPOINTS
    for journal in list(saved.rglob("*.journal")):
        if (run / journal.relative_to(saved)).with_suffix(".provenance.json").exists():
            journal.unlink()
    folders = [saved, *saved.rglob("*/")] if saved.exists() else []
    for folder in sorted(folders, reverse=True):
        if (run / folder.relative_to(saved) / "provenance.json").exists():
            shutil.rmtree(folder)
        elif not any(folder.iterdir()):
            folder.rmdir()
