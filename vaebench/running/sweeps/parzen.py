"""Optuna's tree-structured Parzen estimators, with what a batch shares worked out once.

What is drawn is what Optuna draws, but for the rounding of densities. For each new trial it would
read the space off every trial before, sort all of these, and go over the density of the bad ones
with every candidate several times more than it takes.
"""

from __future__ import annotations

import bisect
import inspect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import _BatchedCategoricalDistributions
from optuna.samplers._tpe.sampler import (
    _get_infeasible_trial_score,
    _get_pruned_trial_score,
    _split_trials,
    default_gamma,
    default_gamma_multiobjective,
)
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from vaebench.running.sweeps.setting import Setting

FAILED = TrialState.FAIL

Floats = NDArray[np.float64]
Observed = dict[str, Floats]
"""Values of some trials in each dimension, as Optuna counts them: choices by their place."""
Space = dict[str, BaseDistribution]


# Optuna keeps the last 1000 values of these, to be looked for at each call: that takes more time
# than the few save that come again. Without, they give the same, to all in this process.
for _name in ("_ndtr_single", "_log_ndtr_single"):
    setattr(_truncnorm, _name, inspect.unwrap(getattr(_truncnorm, _name)))


class Estimator(_ParzenEstimator):  # type: ignore[misc]
    """An estimator whose density takes a few passes over kernels and candidates."""

    def log_pdf(self, samples_dict: Observed) -> Floats:
        mixture = self._mixture_distribution
        if any(getattr(kernels, "step", 0.0) for kernels in mixture.distributions):
            return super().log_pdf(samples_dict)  # whole numbers have masses, not densities
        terms = np.log(mixture.weights)
        for values, kernels in zip(samples_dict.values(), mixture.distributions, strict=True):
            terms = terms + _log_kernels(values, kernels)
        largest = terms.max(axis=1, keepdims=True)
        return np.log(np.exp(terms - largest).sum(axis=1)) + largest[:, 0]


def _log_kernels(values: Floats, kernels: Any) -> Floats:
    """The log density of each kernel of one dimension at some values, [values, kernels]."""
    if isinstance(kernels, _BatchedCategoricalDistributions):
        return np.log(kernels.weights[:, values.astype(int)]).T
    x, mu, sigma = np.log(values) if kernels.is_log else values, kernels.mu, kernels.sigma
    mass = ndtr((kernels.adapted_high - mu) / sigma) - ndtr((kernels.adapted_low - mu) / sigma)
    scaled = np.subtract.outer(x, mu)
    scaled /= sigma
    scaled *= scaled
    scaled *= -0.5
    scaled -= np.log(mass * sigma * math.sqrt(2.0 * math.pi))
    return scaled


class History:
    """The trials of a search that were told, or those of one of its brackets: they only become
    more, so that what is worked out of them is worked out of each once."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.num_seen = 0
        self.trials: list[FrozenTrial] = []
        """In their order, without those that another program failed."""
        self.points: dict[str, list[float]] = {name: [] for name in space}
        """What they drew in each dimension, as Optuna counts it: choices by their place."""
        self.ranked: list[tuple[tuple[float, ...], int]] = []
        """What they are sorted by, and their places among the trials: the best first."""
        self.fits: dict[tuple[str, ...], tuple[Estimator, Observed]] = {}
        """The estimator of the good trials, and where the others are, by the names of the
        dimensions."""

    def learn(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        """Add those of some trials that were not seen before, which are the last."""
        for trial in trials[self.num_seen :]:
            if trial.state is not FAILED:
                bisect.insort(self.ranked, (_rank(study, trial), len(self.trials)))
                self.trials.append(trial)
                for name, drawn in self.space.items():
                    self.points[name].append(drawn.to_internal_repr(trial.params[name]))
        if self.num_seen < len(trials):
            self.num_seen = len(trials)
            self.fits.clear()

    def are_good(self, study: optuna.Study) -> NDArray[np.bool_]:
        """Which of the trials are good, as Optuna tells them apart."""
        num = len(self.trials)
        if len(study.directions) > 1:
            split, _ = _split_trials(study, self.trials, default_gamma_multiobjective(num))
            numbers = {trial.number for trial in split}
            return np.asarray([trial.number in numbers for trial in self.trials], dtype=bool)
        good = np.zeros(num, dtype=bool)
        good[[place for _, place in self.ranked[: default_gamma(num)]]] = True
        return good


class ParzenSampler(TPESampler):  # type: ignore[misc]
    """TPE for the slots of a search. What it keeps from slot to slot are functions of the trials
    that were told."""

    def __init__(self, setting: Setting, startup: int) -> None:
        super().__init__(seed=setting.seed, n_startup_trials=startup)
        self.setting = setting
        ordered = sorted(setting.distributions.items())
        self.space = {name: drawn for name, drawn in ordered if not drawn.single()}
        self.histories: dict[int, History] = {}
        """By the number of the first trial: hyperband has one for each of its brackets."""
        self._parzen_estimator_cls = Estimator

    def at(self, slot: int) -> ParzenSampler:
        """The sampler of a slot."""
        self._rng.rng.seed(self.setting.seed_of(slot))
        self._random_sampler._rng.rng.seed(self.setting.seed_of(slot))
        return self

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        return self.space if self._is_multivariate(study) else {}

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        history, _ = self._told_and_at_work(study)
        is_random = not search_space or len(history.trials) < self._n_startup_trials
        return {} if is_random else self._sample(study, trial, search_space)

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        history, at_work = self._told_and_at_work(study)
        of_batch = [one for one in at_work if one.number != trial.number]
        good, others = self._fitted(study, history, search_space)
        running = self._get_internal_repr(of_batch, search_space, study)
        bad = Estimator(
            {name: np.append(others[name], running[name]) for name in search_space},
            search_space,
            self._parzen_estimator_parameters,
        )
        drawn = good.sample(self._rng.rng, self._n_ei_candidates)
        chosen = self._compare(drawn, self._compute_acquisition_func(drawn, good, bad))
        return {name: d.to_external_repr(chosen[name]) for name, d in search_space.items()}

    def _told_and_at_work(self, study: optuna.Study) -> tuple[History, list[FrozenTrial]]:
        """The trials that were told, and those of the batch at work, which come after them."""
        trials = study._get_trials(deepcopy=False)
        running = itertools.takewhile(lambda trial: not trial.state.is_finished(), reversed(trials))
        num_told = len(trials) - len([*running])
        first = trials[0].number if num_told else -1
        history = self.histories.setdefault(first, History(self.space))
        history.learn(study, trials[:num_told])
        return history, trials[num_told:]

    def _fitted(
        self, study: optuna.Study, history: History, search_space: Space
    ) -> tuple[Estimator, Observed]:
        """What the trials that were told say, worked out once for all that ask."""
        names = tuple(search_space)
        if names not in history.fits:
            are_good = history.are_good(study)
            points = {name: np.asarray(history.points[name]) for name in names}
            weights = np.ones(are_good.sum()) if len(study.directions) > 1 else None
            good = Estimator(
                {name: at[are_good] for name, at in points.items()},
                search_space,
                self._parzen_estimator_parameters,
                weights,
            )
            history.fits[names] = good, {name: at[~are_good] for name, at in points.items()}
        return history.fits[names]


def _rank(study: optuna.Study, trial: FrozenTrial) -> tuple[float, ...]:
    """What a trial is sorted by: first those that went to their end, then those that were pruned,
    then those that break a limit."""
    if (excess := _get_infeasible_trial_score(trial)) > 0:
        return 2.0, excess
    if trial.state == TrialState.PRUNED:
        return 1.0, *_get_pruned_trial_score(trial, study)
    is_high = study.directions[0] == optuna.study.StudyDirection.MAXIMIZE
    return 0.0, -trial.values[0] if is_high else trial.values[0]
