"""Times to a target by hand, and performance profiles on a table whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from vaebench.report.performance_profile import performance_profile
from vaebench.report.standings import KEYS
from vaebench.report.time_to_target import performance_profiles, profile, score, time_to_target


def run(name, variant, seed, elbos, *, per_step=10.0, step_s=0.5, status="done"):
    """A run's row, and its points at steps 1, 2, ..."""
    steps = np.arange(1.0, len(elbos) + 1)
    points = pd.DataFrame(
        {
            "run": name,
            "step": steps,
            "valid_elbo_nats": elbos,
            "decoder_evaluations": steps * per_step,
            "seconds": steps * step_s,
        }
    )
    row = dict(zip(KEYS, ("a", "bernoulli", variant, ""), strict=True))
    return {**row, "run": name, "seed": seed, "status": status}, points


def table_of(*runs, target=None):
    rows, points = zip(*runs, strict=True)
    return time_to_target(pd.concat(points), pd.DataFrame(rows), target).set_index("variant")


def test_medians_over_seeds_of_the_first_point_that_is_there():
    table = table_of(
        run("0", "fast", 0, [-9.0, -4.0, -3.0]),
        run("1", "fast", 1, [-9.0, -8.0, -4.9]),
        run("2", "fast", 2, [-5.0, -6.0, -7.0]),
        run("3", "dear", 0, [-9.0, -5.0], per_step=100.0, step_s=3.0),
        run("4", "slow", 0, [-9.0, -8.0, -7.0]),
        target=-5.0,
    )
    fast, dear, slow = (table.loc[name] for name in ("fast", "dear", "slow"))
    assert (fast["steps"], fast["decoder_evaluations"], fast["seconds"]) == (2.0, 20.0, 1.0)
    assert (dear["steps"], dear["decoder_evaluations"], dear["seconds"]) == (2.0, 200.0, 6.0)
    assert (slow["steps"], slow["reached"], slow["runs"]) == (np.inf, 0, 1)
    assert (fast["reached"], fast["runs"]) == (3, 3)


def test_a_run_that_is_lost_or_never_there_counts_as_infinitely_long():
    lost = run("2", "one", 2, [-1.0, np.nan], status="diverged")
    table = table_of(
        run("0", "one", 0, [-1.0]), run("1", "one", 1, [-9.0, -9.0]), lost, target=-5.0
    )
    assert table.loc["one", "steps"] == np.inf
    assert (table.loc["one", "reached"], table.loc["one", "runs"]) == (1, 3)


def test_a_variant_that_lost_all_its_runs_never_arrives_and_one_from_elsewhere_is_not_there():
    nothing = [np.nan]
    table = table_of(
        run("0", "one", 0, [-1.0]),
        run("1", "lost", 0, nothing, status="diverged"),
        run("2", "elsewhere", 0, nothing),
        target=-5.0,
    )
    assert set(table.index) == {"one", "lost"}
    lost = table.loc["lost"]
    assert (lost["steps"], lost["seconds"], lost["reached"]) == (np.inf, np.inf, 0)


def test_a_run_that_stopped_early_counts_to_its_last_point():
    """Its best point is one of those that it has; a target beyond is never reached."""
    runs = run("0", "early", 0, [-9.0, -4.0]), run("1", "late", 0, [-9.0, -8.0, -4.0, -3.0])
    assert table_of(*runs, target=-4.0)["steps"].to_dict() == {"early": 2.0, "late": 3.0}
    assert table_of(*runs, target=-3.5)["steps"].to_dict() == {"early": np.inf, "late": 4.0}


def test_the_usual_target_is_what_half_of_the_variants_reach():
    """In half of their runs, by the best point; of an even number the lower of the middle two."""
    bests = {"a": (-4.0, -9.0), "b": (-3.0, -2.9), "c": (-2.0, -1.9), "d": (-1.0, np.nan)}
    runs = [
        run(f"{name}{seed}", name, seed, [best - 5.0, best, best - 1.0])
        for name, both in bests.items()
        for seed, best in enumerate(both)
    ]
    table = table_of(*runs)
    assert set(table["target"]) == {-3.0}, "of -9, -3 and -2; d has a run without any point"
    assert table["steps"].to_dict() == {"a": np.inf, "b": 2.0, "c": 2.0, "d": np.inf}


def test_seconds_are_unknown_where_nothing_is_timed():
    table = table_of(run("0", "one", 0, [-1.0], step_s=np.nan), target=-5.0)
    assert np.isnan(table.loc["one", "seconds"]) and table.loc["one", "steps"] == 1.0


TIMES = {"x": (10.0, 30.0), "y": (20.0, 10.0), "z": (np.inf, 41.0)}
"""Times of three variants in two observation spaces; ratios 1, 3 and 2, 1 and infinite, 4.1."""


def of_times(**more):
    lines = [
        dict(zip(KEYS, (space, "bernoulli", name, ""), strict=True))
        | dict.fromkeys(("steps", "decoder_evaluations", "seconds"), value)
        for name, values in {**TIMES, **more}.items()
        for space, value in zip("ab", values, strict=True)
    ]
    return pd.DataFrame(lines)


def test_profiles_are_the_shares_within_tau_of_the_fastest():
    profiles = performance_profiles(of_times())
    steps = profiles[profiles["measure"] == "steps"]
    ratios = {name: part["ratio"].to_list() for name, part in steps.groupby("label")}
    assert ratios == {"x": [1.0, 3.0], "y": [2.0, 1.0], "z": [np.inf, 4.1]}
    tau = np.array([1.0, 1.9, 2.0, 3.0, 4.0, 5.0])
    assert profile(np.array(ratios["x"]), tau).tolist() == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert profile(np.array(ratios["z"]), tau).tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 0.5]
    scores = steps.groupby("label")["score"].first().to_dict()
    assert scores == pytest.approx({"x": (1 + 1 / 3) / 2, "y": (2 / 3 + 1) / 2, "z": 0.0})


def test_the_score_is_the_area_under_the_profile():
    ratios = np.random.default_rng(0).uniform(1.0, 6.0, 40)
    tau = np.linspace(1.0, 4.0, 30_001)
    area = np.trapezoid(profile(ratios, tau), tau) / 3.0
    assert score(ratios) == pytest.approx(area, abs=1e-4)
    assert score(np.ones(3)) == 1.0


def test_what_takes_just_the_most_counts_in_the_profile_and_adds_nothing_to_the_score():
    """AlgoPerf's r_max is 4: shares are of ratios up to it, itself included, and the area ends."""
    assert profile(np.array([4.0, np.nextafter(4.0, 5.0)]), np.array([4.0])).tolist() == [0.5]
    assert score(np.array([4.0, 4.1, np.inf])) == 0.0
    assert score(np.array([np.nextafter(4.0, 0.0)])) > 0.0


@pytest.mark.parametrize("target", [None, -5.0])
def test_a_study_without_a_point_has_no_times_and_no_profiles(target):
    """All runs were lost before the first validation, or there is none."""
    row, points = run("0", "one", 0, [np.nan], status="diverged")
    for runs in ([row], []):
        known = pd.DataFrame(runs, columns=[*row])
        table = time_to_target(points, known, target)
        assert table.empty and performance_profiles(table).empty


def test_a_space_where_none_arrives_counts_for_all_and_one_that_lacks_a_variant_for_it():
    table = of_times(w=(5.0, 5.0))
    table = table[~((table["variant"] == "w") & (table["observation_space"] == "b"))]
    steps = performance_profiles(table).query("measure == 'steps'")
    assert steps.set_index("label").loc["w", "ratio"].to_list() == [1.0, np.inf]
    none = of_times().assign(steps=np.inf)
    assert set(performance_profiles(none).query("measure == 'steps'")["score"]) == {0.0}


def test_what_is_not_timed_is_not_compared_by_seconds():
    table = of_times()
    table.loc[0, "seconds"] = np.nan
    assert set(performance_profiles(table)["measure"]) == {"steps", "decoder_evaluations"}


def test_one_space_has_no_profile():
    assert performance_profiles(of_times().query("observation_space == 'a'")).empty


def test_the_figure_has_a_panel_for_each_measure_and_a_line_for_each_variant():
    figure = performance_profile(performance_profiles(of_times()))
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert {axes.get_title() for axes in panels} == {"steps", "decoder_evaluations", "seconds"}
    assert {len(axes.lines) for axes in panels} == {3}
