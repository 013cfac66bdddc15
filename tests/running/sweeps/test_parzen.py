"""What the sampler works out for itself is what Optuna works out."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import TrialState, create_trial

from vaebench.running.sweeps.parzen import Estimator, ParzenSampler
from vaebench.running.sweeps.setting import Setting

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
    sampler = ParzenSampler(Setting({"plain": KINDS["plain"]}, 0, 4, ("nll",), 1, 10), 10)
    ended = study.get_trials(deepcopy=False)
    for num in (8, 20, 40):
        sampler._learn(study, ended[:num])
        plain = _split_trials(study, ended[:num], default_gamma(num))
        assert sampler._split(study, ended[:num]) == tuple([t.number for t in p] for p in plain)
