"""What the sampler works out for itself is what Optuna works out."""

import functools

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import TrialState, create_trial

from vaebench.running.sweeps.parzen import Estimator, History

KINDS = {
    "plain": FloatDistribution(-1.0, 3.0),
    "log": FloatDistribution(1e-4, 1e-2, log=True),
    "choice": CategoricalDistribution(("a", "b", "c")),
    "count": IntDistribution(2, 9),
}


@pytest.mark.parametrize("names", [("plain", "log"), ("log", "choice"), ("plain", "count")])
def test_densities_are_those_of_optuna(names):
    space = {name: KINDS[name] for name in names}
    parameters = TPESampler(seed=0)._parzen_estimator_parameters
    none = {name: np.array([]) for name in space}
    drawn = _ParzenEstimator(none, space, parameters).sample(np.random.RandomState(0), 60)
    at = {name: values[40:] for name, values in drawn.items()}
    observed = {name: values[:40] for name, values in drawn.items()}
    for kernels in (observed, none):
        plain = _ParzenEstimator(kernels, space, parameters).log_pdf(at)
        np.testing.assert_allclose(Estimator(kernels, space, parameters).log_pdf(at), plain, 1e-9)


def test_truncated_normals_are_those_of_optuna_to_the_last_bit(monkeypatch):
    ends = np.random.RandomState(0).normal(size=(2, 300)) * 12

    def drawn():
        return _truncnorm.rvs(ends.min(0), ends.max(0), random_state=np.random.RandomState(1))

    without_caches = drawn()
    for name in ("_ndtr_single", "_log_ndtr_single"):
        plain = getattr(_truncnorm, name)
        assert not hasattr(plain, "cache_info")
        monkeypatch.setattr(_truncnorm, name, functools.lru_cache(1000)(plain))
    np.testing.assert_array_equal(drawn(), without_caches)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("num_pruned", [0, 37, 39])
@pytest.mark.parametrize("num_kept", [0, 3, 40])
def test_good_trials_are_those_of_optuna(direction, num_pruned, num_kept):
    """Some are equal, some were pruned, some break a limit; 1, 2 and 4 of them are good."""
    study = optuna.create_study(direction=direction)
    for i in range(40):
        trial = create_trial(
            params={"plain": i / 20},
            distributions={"plain": KINDS["plain"]},
            state=TrialState.PRUNED if i * 7 % 40 < num_pruned else TrialState.COMPLETE,
            value=float(i % 3),
            intermediate_values={1 + i % 2: float(i % 7)},
            constraints={"limit": 0.0 if i * 9 % 40 < num_kept else 1.0 + i % 4},
        )
        study.add_trial(trial)
    history, ended = History({"plain": KINDS["plain"]}), study.get_trials(deepcopy=False)
    for num in (8, 20, 40):
        history.learn(study, ended[:num])
        good, others = _split_trials(study, ended[:num], default_gamma(num))
        are_good = history.are_good(study)
        assert [*np.flatnonzero(are_good)] == [trial.number for trial in good]
        assert [*np.flatnonzero(~are_good)] == [trial.number for trial in others]
