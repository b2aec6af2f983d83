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
    cost,
    definitions,
    discovery,
    diversity,
    elements,
    energies,
    failures,
    hulls,
    judge,
    paper,
    policies,
    properties,
    provenance,
    reinforcement,
    space_groups,
    structures,
    summary,
    throughput,
    training,
    uncertainty,
)

SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    summary.section,
    best.section,
    structures.section,
    hulls.section,
    policies.section,
    energies.section,
    judge.section,
    comparison.section,
    elements.section,
    space_groups.section,
    properties.section,
    uncertainty.section,
    reinforcement.section,
    discovery.section,
    training.section,
    diversity.section,
    benchmarks.section,
    paper.section,
    cost.section,
    throughput.section,
    failures.section,
    definitions.section,
    provenance.section,
)
"""In the order of the page."""
