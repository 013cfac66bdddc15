"""Optuna's tree-structured Parzen estimators, with what a batch shares worked out once.

What is drawn is what Optuna draws, but for the rounding of densities. For each new trial it would
read the space off every trial before, sort all of these, and go over the density of the bad ones
with every candidate several times more than it takes.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
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

MOST_FITS = 16
"""Fits that are kept: hyperband has one for each of its brackets."""

FAILED = TrialState.FAIL

Floats = NDArray[np.float64]
Observed = dict[str, Floats]
"""Values of some trials in each dimension, as Optuna counts them: choices by their place."""
Space = dict[str, BaseDistribution]


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


class ParzenSampler(TPESampler):  # type: ignore[misc]
    """TPE for the slots of a search. What it keeps from slot to slot are functions of the trials
    that were told."""

    def __init__(self, setting: Setting, startup: int) -> None:
        super().__init__(seed=setting.seed, n_startup_trials=startup)
        self.setting = setting
        ordered = sorted(setting.distributions.items())
        self.space = {name: drawn for name, drawn in ordered if not drawn.single()}
        self.fits: dict[tuple[Any, ...], tuple[Estimator, Observed]] = {}
        """The estimator of the good trials, and where the others are, by the names of the
        dimensions, and the first trial and number of those that were told."""
        self.ranks: dict[int, tuple[float, ...]] = {}
        """What the trials that were told are sorted by, by their numbers."""
        self.points: dict[int, Mapping[str, float]] = {}
        """What they drew, as Optuna counts it: choices by their place."""
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
        is_random = not search_space or len(_ended_and_at_work(study)[0]) < self._n_startup_trials
        return {} if is_random else self._sample(study, trial, search_space)

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        ended, at_work = _ended_and_at_work(study)
        of_batch = [one for one in at_work if one.number != trial.number]
        good, others = self._fitted(study, ended, search_space)
        running = self._get_internal_repr(of_batch, search_space, study)
        bad = Estimator(
            {name: np.append(others[name], running[name]) for name in search_space},
            search_space,
            self._parzen_estimator_parameters,
        )
        drawn = good.sample(self._rng.rng, self._n_ei_candidates)
        chosen = self._compare(drawn, self._compute_acquisition_func(drawn, good, bad))
        return {name: d.to_external_repr(chosen[name]) for name, d in search_space.items()}

    def _fitted(
        self, study: optuna.Study, ended: Sequence[FrozenTrial], search_space: Space
    ) -> tuple[Estimator, Observed]:
        """What the trials that were told say, worked out once for all that ask."""
        key = (*search_space, *(trial.number for trial in ended[:1]), len(ended))
        if key not in self.fits:
            while len(self.fits) >= MOST_FITS:
                self.fits.pop(next(iter(self.fits)))
            self._learn(study, ended)
            good, others = self._split(study, ended)
            at_good, at_others = (self._observed(part, search_space) for part in (good, others))
            weights = np.ones(len(good)) if len(study.directions) > 1 else None
            estimator = Estimator(at_good, search_space, self._parzen_estimator_parameters, weights)
            self.fits[key] = estimator, at_others
        return self.fits[key]

    def _learn(self, study: optuna.Study, ended: Sequence[FrozenTrial]) -> None:
        """Note rank and place of the trials that are new, which are the last."""
        for trial in reversed(ended):
            if trial.number in self.ranks:
                break
            self.ranks[trial.number] = _rank(study, trial)
            self.points[trial.number] = {
                name: d.to_internal_repr(trial.params[name]) for name, d in self.space.items()
            }

    def _split(
        self, study: optuna.Study, ended: Sequence[FrozenTrial]
    ) -> tuple[list[int], list[int]]:
        """The numbers of the good trials and of the others, as Optuna tells them apart."""
        if len(study.directions) > 1:
            parts = _split_trials(study, ended, default_gamma_multiobjective(len(ended)))
            good, others = ([trial.number for trial in part] for part in parts)
            return good, others
        numbers = [trial.number for trial in ended]
        best = {*heapq.nsmallest(default_gamma(len(ended)), numbers, self.ranks.__getitem__)}
        return [n for n in numbers if n in best], [n for n in numbers if n not in best]

    def _observed(self, numbers: Iterable[int], search_space: Space) -> Observed:
        """The values of some trials in each dimension."""
        points = [self.points[number] for number in numbers]
        return {name: np.asarray([point[name] for point in points]) for name in search_space}


def _ended_and_at_work(study: optuna.Study) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """The trials that were told, and those of the batch at work, which come after them; those that
    another program failed are neither."""
    trials = study._get_trials(deepcopy=False)
    running = itertools.takewhile(lambda trial: not trial.state.is_finished(), reversed(trials))
    num_told = len(trials) - len([*running])
    ended = [trial for trial in trials[:num_told] if trial.state is not FAILED]
    return ended, trials[num_told:]


def _rank(study: optuna.Study, trial: FrozenTrial) -> tuple[float, ...]:
    """What a trial is sorted by: first those that went to their end, then those that were pruned,
    then those that break a limit."""
    if (excess := _get_infeasible_trial_score(trial)) > 0:
        return 2.0, excess
    if trial.state == TrialState.PRUNED:
        return 1.0, *_get_pruned_trial_score(trial, study)
    is_high = study.directions[0] == optuna.study.StudyDirection.MAXIMIZE
    return 0.0, -trial.values[0] if is_high else trial.values[0]
