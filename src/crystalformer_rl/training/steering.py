"""Settings that change from step to step: τ and the learning rate."""

from crystalformer_rl.config import RLSettings
from crystalformer_rl.training.rates import half_cosine, warm_up

GAIN, LARGEST_ERROR = 0.1, 0.2


def next_tau(tau: float, kl: float, *, settings: RLSettings) -> float:
    """τ of the next step: τ (1 + K clip((KL − target)/target, ±0.2)) with K = 0.1.

    Ziegler et al., arXiv 1909.08593, section 2.2. τ therefore changes by at most 2 % a step.
    Without ``target_kl`` it stays as it is.

    Parameters
    ----------
    kl
        KL divergence from the policy to the base policy, nats per crystal.
    """
    if settings.target_kl is None:
        return tau
    error = kl / settings.target_kl - 1
    return tau * (1 + GAIN * max(-LARGEST_ERROR, min(LARGEST_ERROR, error)))


def learning_rate(step: int, *, settings: RLSettings) -> float:
    """Learning rate of a step of the round, from 0.

    The schedule starts again in each round (as in SGDR, Loshchilov and Hutter, arXiv 1608.03983):
    a round that is added then changes none before it. So does the warm-up: the first steps of a new
    Adam have the size of the learning rate in every weight, whatever the gradient.
    """
    done = step / settings.steps
    match settings.learning_rate_schedule:
        case "constant":
            share = 1.0
        case "linear":
            share = 1 - done
        case "cosine":
            share = half_cosine(done)
    return settings.learning_rate * warm_up(step, settings.warmup_steps) * share
