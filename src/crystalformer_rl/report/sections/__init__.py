"""The sections of the page: one module each, with its figures, tables and captions.

A section is a function of the :class:`~crystalformer_rl.report.run.Run`, and None where there is
nothing to show. To add one, write a module and add its function to :data:`SECTIONS`.
"""

from collections.abc import Callable

from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections import (
    benchmarks,
    best,
    comparison,
    definitions,
    diversity,
    energies,
    failures,
    judge,
    policies,
    properties,
    provenance,
    reinforcement,
    space_groups,
    structures,
    summary,
    training,
)

SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    summary.section,
    judge.section,
    comparison.section,
    policies.section,
    diversity.section,
    benchmarks.section,
    energies.section,
    reinforcement.section,
    training.section,
    space_groups.section,
    properties.section,
    best.section,
    structures.section,
    failures.section,
    definitions.section,
    provenance.section,
)
"""In the order of the page."""
