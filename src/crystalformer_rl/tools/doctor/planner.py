"""A program: ``snakemake`` with its arguments, which prints what planned jobs ask for as JSON.

Rules and profile are templates that only Snakemake can fill in, and its own listing shows the
message of a job in place of its resources.
"""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from snakemake.cli import main
from snakemake.logging import logger

# They run on the submitting machine.
LOCAL_RULES = ("all", "download")


def plan(words: Sequence[str]) -> None:
    """Plan by the arguments ``words``, of which one is ``--dry-run``, and print the jobs."""
    jobs: list[dict[str, Any]] = []

    def keep(record: logging.LogRecord) -> bool:
        if getattr(getattr(record, "event", None), "value", None) == "job_info":
            job: Any = record
            if job.rule_name not in LOCAL_RULES:
                jobs.append({"rule": job.rule_name, "resources": dict(job.resources.items())})
        elif record.levelno >= logging.ERROR:
            sys.stderr.write(f"{record.getMessage()}\n")
        return False

    # A filter, because Snakemake replaces the handlers.
    logger.addFilter(keep)
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise
    sys.stdout.write("\n" + json.dumps(jobs, default=str) + "\n")


if __name__ == "__main__":
    plan(sys.argv[1:])
