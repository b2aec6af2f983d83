"""Disturb jobs of every stage, start them again, and compare with what an undisturbed run gives.

    PYTHONPATH=tests python -m helpers.faults.run --faults 200 --seed 0

prints what became of every fault, and then the table of docs/records/faults.md. It exits with code
1 if a promise was broken.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from helpers.faults.jobs import JOBS, Job
from helpers.faults.kinds import DefectError, Kind, Outcome, kinds
from helpers.faults.workshop import Workshop


@dataclass(frozen=True)
class Fault:
    """A kind, a job, and the seed of everything else."""

    number: int
    kind: Kind
    job: Job
    seed: str

    def __str__(self) -> str:
        return f"{self.number} {named(self.kind)}, {self.job.name}"


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: an outcome, or the promise that was broken."""

    fault: Fault
    outcome: Outcome | None
    defect: str | None

    def __str__(self) -> str:
        if self.outcome is None:
            return f"{self.fault}: DEFECT: {self.defect}"
        message = f"\n    {self.outcome.message}" if self.outcome.message else ""
        return f"{self.fault}: {self.outcome.end}; started again, identical{message}"


def named(kind: Kind) -> str:
    return kind.__name__.replace("_", " ")


def plan(count: int, *, seed: int, small: bool) -> list[Fault]:
    """``count`` faults: the kinds in turn, and the jobs of each kind in turn, in seeded order."""
    random = Random(seed)
    waiting: dict[Kind, list[Job]] = {}
    faults = []
    happens = kinds(small=small)
    for number in range(count):
        kind = list(happens)[number % len(happens)]
        if not waiting.get(kind):
            waiting[kind] = [job for job in JOBS if happens[kind](job)]
            random.shuffle(waiting[kind])
        faults.append(Fault(number, kind, waiting[kind].pop(), f"{seed} {number}"))
    return faults


def suffer(workshop: Workshop, fault: Fault) -> Verdict:
    """Let the fault happen, and put everything back."""
    try:
        outcome = fault.kind(workshop, fault.job, Random(fault.seed))
        return Verdict(fault, outcome, None)
    except DefectError as error:
        return Verdict(fault, None, str(error))
    finally:
        workshop.restore(fault.job)


def table(verdicts: list[Verdict]) -> str:
    """Kinds by how the disturbed jobs ended; stages by kind would not fit and are counted."""
    lines = [f"{'kind':27}{'faults':>7}{'defects':>8}  how the disturbed job ended"]
    for kind in dict.fromkeys(v.fault.kind for v in verdicts):
        of_kind = [v for v in verdicts if v.fault.kind is kind]
        ends = Counter(v.outcome.end for v in of_kind if v.outcome is not None)
        told = ", ".join(f"{end} {number}" for end, number in ends.most_common())
        lines.append(f"{named(kind):27}{len(of_kind):7}{_defects(of_kind):8}  {told}")
    lines.append(f"{'all':27}{len(verdicts):7}{_defects(verdicts):8}")
    stages = Counter(v.fault.job.verb for v in verdicts)
    lines += ["", "stages: " + ", ".join(f"{verb} {stages[verb]}" for verb in _verbs())]
    continued = sum(v.outcome.continued for v in verdicts if v.outcome is not None)
    lines.append(f"continued from what was saved: {continued}")
    temporary = sum(v.outcome.temporary for v in verdicts if v.outcome is not None)
    lines.append(f"temporary files left behind: {temporary}")
    return "\n".join(lines)


def _verbs() -> list[str]:
    return list(dict.fromkeys(job.verb for job in JOBS))


def _defects(verdicts: list[Verdict]) -> int:
    return sum(v.defect is not None for v in verdicts)


def run(
    workshop: Workshop, faults: list[Fault], *, tell: Callable[[Verdict], None]
) -> list[Verdict]:
    """One fault after the other."""
    verdicts = []
    for fault in faults:
        verdicts.append(suffer(workshop, fault))
        tell(verdicts[-1])
    return verdicts


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faults", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the faults to repeat")
    parser.add_argument("--folder", type=Path, help="new folder to work in (default: temporary)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workshop = Workshop(args.folder or Path(temporary) / "faults")
        try:
            faults = plan(args.faults, seed=args.seed, small=workshop.small)
            chosen = [fault for fault in faults if args.only is None or fault.number in args.only]
            verdicts = run(workshop, chosen, tell=lambda verdict: print(verdict, flush=True))
        finally:
            workshop.close()
    print(f"\n{table(verdicts)}")
    sys.exit(int(_defects(verdicts) > 0))


if __name__ == "__main__":
    main()
