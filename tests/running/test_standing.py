"""Where work stands, in words; and the best so far, as the report's ranking has it."""

import msgspec
import pytest

from vaebench.results import Labels, Metric, Record
from vaebench.running.standing import Best, Standing


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing({}, 4), "0 of 4 runs done"),
        (Standing({"done": 1, "failed": 0, "diverged": 2}), "1 runs done, 2 diverged"),
        (Standing({"done": 1}, 4, at_work=3), "1 of 4 runs done; 3 at work"),
        (Standing({"done": 5}, 9, "trials", at_work=3), "5 of 9 trials done; 3 runs at work"),
    ],
)
def test_counts_in_words(standing, words):
    assert standing.words == words


def test_the_share_counts_every_end():
    assert Standing({"done": 1, "failed": 1}, 4).share == 0.5
    assert Standing({"done": 1}).share is None


LABELS = Labels("digits", "bernoulli", "elbo", "{}", "elbo", 1, "space", "", 0)


def record(variant, nll, space="space", **labels):
    of = msgspec.structs.replace(LABELS, variant=variant, observation_space=space, **labels)
    metrics = [Metric("nll", nll, "nats", False), Metric("elbo", -nll - 1, "nats", True)]
    return Record(run="r", study="s", labels=of, status="done", metrics=metrics)


def test_the_best_is_that_of_the_lowest_mean_over_seeds_in_each_space():
    best = Best()
    for one in [record("elbo", 70.0), record("iwae", 71.0), record("elbo", 74.0)]:
        best.count(one)
    assert list(best.sentences()) == ["lowest test NLL so far: 71 nats, iwae (one run)"]
    best.count(record("iwae", 71.5))
    best.count(record("elbo", -300.0, "density", likelihood="gaussian"))
    assert list(best.sentences()) == [
        "lowest test NLL so far on digits, bernoulli: 71.25 nats, iwae (mean of 2 runs)",
        "lowest test NLL so far on digits, gaussian: -300 nats, elbo (one run)",
    ]


def test_other_settings_are_another_variant_and_lost_runs_count_for_none():
    best = Best()
    for one in [record("elbo", 70.0, settings="a"), record("elbo", 80.0, settings="b")]:
        best.count(one)
    best.count(msgspec.structs.replace(record("vae", 0.0), status="failed", metrics=[]))
    assert list(best.sentences()) == ["lowest test NLL so far: 70 nats, elbo (one run)"]
