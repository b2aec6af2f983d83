"""Reward: a property that a model of the package ``matgl`` predicts, by its folder or its hub name.

There is no self-test of a property as there is of a potential, so that a model of an older layout,
which loads and gives wrong numbers, is refused by its version. That holds for the models of the
band gap and the formation energy that were published with MEGNet in 2019.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matgl
import numpy as np
import torch
from matgl.apps.pes import Potential
from matgl.ext.pymatgen import Structure2Graph

from crystalformer_rl.config.property_rewards import MatglPropertyReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.potentials.base import unphysical
from crystalformer_rl.potentials.matgl import model_files
from crystalformer_rl.rewards.base import RewardBatch, Sources
from crystalformer_rl.rewards.target import rewarded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MatglProperty:
    """The number that a matgl model predicts for each crystal."""

    settings: MatglPropertyReward
    model: Any
    parallel: Parallel = SINGLE

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch; the component is the prediction."""
        values = np.array(self.parallel.map(self._predict, cells), dtype=np.float64)
        return rewarded(values, self.settings, components={"predicted": values})

    def _predict(self, cell: Cell | None) -> float:
        """NaN if the model has no number for the crystal; the log says why."""
        if cell is None or unphysical(cell):
            return np.nan
        network = getattr(self.model, "model", self.model)
        if unknown := cell.symbols - set(network.element_types):
            formula = cell.composition.formula
            log.info("%s: unknown to the model: %s", formula, ", ".join(sorted(unknown)))
            return np.nan
        number = self.settings.state
        state = {} if number is None else {"state_attr": torch.tensor([number])}
        converter = Structure2Graph(network.element_types, network.cutoff)
        try:
            answer = self.model.predict_structure(
                cell.structure(), graph_converter=converter, **state
            )
        except (RuntimeError, ValueError, LookupError, ArithmeticError) as error:
            log.info("%s: no prediction: %s", cell.composition.formula, error)
            return np.nan
        return float(answer)


def load_model(spec: str, *, trust_pickles: bool) -> Any:
    """Load a model that predicts one number for a crystal.

    Raises
    ------
    ValueError
        If there is no such model, it is not trusted, is of an older layout, cannot be read, or is a
        potential.
    """
    files = model_files(spec, trust_pickles=trust_pickles)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Incompatible model version")
        try:
            model = matgl.load_model(files["model.json"].parent)
        except (RuntimeError, ValueError, UserWarning) as error:
            raise ValueError(
                f"matgl model {spec!r} cannot be loaded: {error.__cause__ or error}"
            ) from error
    if isinstance(model, Potential):
        raise ValueError(  # noqa: TRY004 - the mistake is in the configuration
            f"matgl model {spec!r} is a potential: use it as matgl:{spec} in ehull or force"
        )
    return model.eval()


def build(settings: MatglPropertyReward, sources: Sources) -> MatglProperty:
    """The reward with its model, which runs on the CPU."""
    model = load_model(settings.model, trust_pickles=sources.trust_pickles)
    return MatglProperty(settings, model, sources.parallel)
