"""The functions that a run is made of."""

from tests.support.runs import tiny
from vaebench.config.functions import functions_of, functions_of_steps, plugin_fingerprint
from vaebench.config.schedules import SCHEDULES
from vaebench.evaluation import GRADINGS
from vaebench.objectives import OBJECTIVES


def test_they_are_those_of_steps_and_gradings_with_schedules():
    config = tiny(rate_weight={"name": "linear", "over": 0.5})
    of_steps = functions_of_steps(config)
    assert of_steps[0] is OBJECTIVES["elbo"].loss
    assert of_steps[-1] is SCHEDULES["linear"].value
    gradings = [GRADINGS[name].grade for name in config.evaluate.wanted]
    assert functions_of(config) == [*of_steps, *gradings]


def test_the_package_s_own_have_no_fingerprint():
    assert plugin_fingerprint(tiny()) == ""
