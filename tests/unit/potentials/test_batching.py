"""Batches grow while that pays, shrink where memory ends, and never change the answers."""

from collections.abc import Sequence

import pytest
import torch
from helpers.pretend_gpu import Gpu
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.jobs.device import is_out_of_memory, uploaded
from crystalformer_rl.potentials.base import Evaluation, Failure, evaluate_each
from crystalformer_rl.potentials.batching import BatchedPotential, BatchSize, Results


def chain(atoms: int) -> Structure:
    return Structure(
        Lattice.orthorhombic(3 * atoms, 3, 3),
        ["Na"] * atoms,
        [[i / atoms, 0, 0] for i in range(atoms)],
    )


class SmallMemory(BatchedPotential):
    """Counts atoms, and runs out of memory above ``room`` of them in a batch."""

    name, version, digest, energy_convention = "small", "0", "0", "uncorrected"
    elements = frozenset({"Na"})

    def __init__(self, *, room: int, error: Exception | None = None) -> None:
        super().__init__(device="cpu")
        self.room, self.batches = room, []
        self._error = error or torch.OutOfMemoryError("CUDA out of memory.")

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        atoms = sum(map(len, cells))
        self.batches.append(atoms)
        if atoms > self.room:
            raise self._error
        return Results(torch.tensor([float(len(cell)) for cell in cells]))


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(12, 200))
def test_every_crystal_is_answered_in_order(counts: list[int], room: int) -> None:
    potential = SmallMemory(room=room)
    answers = potential.evaluate(cells_from([chain(count) for count in counts]))
    assert [answer.energy for answer in answers] == counts


def test_out_of_memory_halves_and_is_remembered() -> None:
    potential = SmallMemory(room=30)
    crystals = [chain(8)] * 12
    potential.evaluate(cells_from(crystals))
    assert potential.batches == [96, 48, 24, 24, 24, 24]
    potential.batches.clear()
    potential.evaluate(cells_from(crystals))
    assert potential.batches == [24, 24, 24, 24]
    potential.batches.clear()
    potential.evaluate(cells_from(crystals[:6]), forces=False)
    assert potential.batches == [48, 24, 24]


def test_what_does_not_fit_alone_is_a_record() -> None:
    potential = SmallMemory(room=10)
    answers = evaluate_each(potential, cells_from([chain(4), chain(11), chain(4)]))
    assert [type(answer) for answer in answers] == [Evaluation, Failure, Evaluation]
    assert answers[1] == Failure("out_of_memory", "OutOfMemoryError: CUDA out of memory.")


def test_another_error_is_not_retried() -> None:
    potential = SmallMemory(room=10, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        potential.evaluate(cells_from([chain(8), chain(8)]))
    assert potential.batches == [16]


def test_failed_allocations_are_known() -> None:
    with pytest.raises(RuntimeError) as failure:
        torch.empty(2**60)
    assert is_out_of_memory(failure.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def run(size: BatchSize, rates: dict[int, float]) -> list[int]:
    """Sizes of full batches on a device that does ``rates`` atoms per second."""
    sizes = []
    for _ in range(15):
        sizes.append(size.most)
        size.learn(size.most, size.most / rates[size.most])
    return sizes


def test_it_doubles_while_that_pays() -> None:
    rates = {64: 10.0, 128: 19.0, 256: 30.0, 512: 31.0}
    sizes = run(BatchSize(64, grows=True), rates)
    assert sizes == [64] * 3 + [128] * 3 + [256] * 3 + [512] * 3 + [256] * 3


def test_it_stays_where_it_must_not_grow() -> None:
    assert run(BatchSize(64, grows=False), {64: 10.0}) == [64] * 15


def test_a_slow_first_batch_does_not_count() -> None:
    size = BatchSize(64, grows=True)
    for seconds in (6.4, 6.4, 6.4, 60.0, 6.0, 6.0):
        size.learn(size.most, seconds)
    assert size.most == 256


def test_after_a_failure_it_grows_no_more() -> None:
    size = BatchSize(64, grows=True)
    size.shrink(60)
    assert run(size, {30: 10.0}) == [30] * 15


def test_a_batch_that_is_not_full_says_nothing() -> None:
    size = BatchSize(64, grows=True)
    for _ in range(10):
        size.learn(40, 1.0)
    assert size.most == 64


def test_a_halved_batch_grows_again() -> None:
    """Five failures of a neighbour on the card are forgotten, up to half of what failed first."""
    size = BatchSize(512, grows=True)
    for _ in range(5):
        size.shrink(size.most)
    assert size.most == 16
    for _ in range(60):
        size.learn(size.most, 1.0)
    assert size.most == 256


def test_a_limit_that_stays_is_tried_ever_less() -> None:
    size, failures, limit = BatchSize(512, grows=True), [], 100
    for batch in range(2000):
        if size.most > limit:
            failures.append(batch)
            size.shrink(size.most)
        else:
            size.learn(size.most, 1.0)
    assert len(failures) < 12
    assert failures[-1] - failures[-2] > 2 * (failures[-3] - failures[-4])


class AtomicNumbers(BatchedPotential):
    """Adds atomic numbers on the device, and notes how often the host has waited before."""

    name, version, digest, energy_convention = "numbers", "0", "0", "uncorrected"
    elements = frozenset({"Na"})

    def __init__(self, gpu: Gpu) -> None:
        super().__init__(device="cuda")
        self.gpu, self.waits = gpu, []

    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> Results:
        self.waits.append(self.gpu.total("sync") + self.gpu.total("to_cpu"))
        energies = [uploaded(cell.numbers, self._device).sum() for cell in cells]
        return Results(torch.stack(energies))


@pytest.mark.gpu
def test_the_next_batch_is_prepared_before_the_host_waits(pretend_gpu: Gpu) -> None:
    potential = AtomicNumbers(pretend_gpu)
    answers = potential.evaluate(cells_from([chain(400)] * 4))
    assert [answer.energy for answer in answers] == [400 * 11] * 4
    assert potential.waits == [0, 0, 1, 2]
