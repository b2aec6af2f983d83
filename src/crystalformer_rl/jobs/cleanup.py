"""What the jobs of a run save to go on from, in its folder ``checkpoints``, and when it may go.

A training saves checkpoints, a relaxation a journal, each at the path of its results within the
run. They stay when the job has finished: if the driver dies, nobody notes that it has, and it is
done again, from them. Only the end of the run says that they are of no more use.
"""

import shutil
from pathlib import Path

from crystalformer_rl.layout import CHECKPOINTS


def forget_finished(run: Path) -> None:
    """Delete what the finished jobs of a run saved; what unfinished ones did stays.

    A job has finished if its provenance is there, which it writes last.

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
