"""What each variant takes to reach a target ELBO, and performance profiles over data sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vaebench.report.labels import display_names
from vaebench.report.standings import KEYS, Array

if TYPE_CHECKING:
    import pandas as pd

ELBO = "valid_elbo_nats"
MEASURES = {"step": "steps", "decoder_evaluations": "decoder_evaluations", "seconds": "seconds"}
"""What is counted: columns of the curves, and what the tables call them."""
MOST_RATIO = 4.0
"""A variant that takes more than so many times what the fastest takes counts as one that does not
arrive: r_max of AlgoPerf."""
FEWEST_SPACES = 2


def time_to_target(
    curves: pd.DataFrame, runs: pd.DataFrame, target: float | None = None
) -> pd.DataFrame:
    """A line for each variant of `runs`, which has a row for each run: what it takes until the
    beta = 1 ELBO on validation images first reaches a target.

    `steps`, `decoder_evaluations` and `seconds` are medians over seeds at the first point of the
    learning curve that is there, infinite for a run that never is, or is lost; NaN where nothing
    has timed the variant. `reached` of `runs` are. The `target` is the one that is asked for, or in
    each observation space the best ELBO that at least half of its variants reach in at least half
    of their runs: the lower median over variants of the lower median over seeds of the best point.
    Variants that lost half of their runs do not count.
    """
    import pandas as pd

    points = curves.dropna(subset=[ELBO]).astype({"run": "category"})  # there are millions
    points = points[points["run"].isin(runs.loc[runs["status"] == "done", "run"])]
    by_run = points.groupby("run", observed=True)
    summary = by_run.agg(best=(ELBO, "max"), num_timed=("seconds", "count"))
    runs = runs.join(summary, on="run").sort_values("observation_space", kind="stable")
    aims = {
        space: _usual_target(part) if target is None else target
        for space, part in runs.groupby("observation_space")
        if part["best"].notna().any()
    }
    runs = runs.assign(aim=runs["observation_space"].map(aims))
    runs = runs[[*KEYS, "run", "status", "best", "num_timed", "aim"]]  # of settings there are many
    reached = runs.join(_first_points(points, runs), on="run")
    return pd.DataFrame(
        [
            dict(zip(KEYS, key, strict=True)) | _line(line)
            for key, line in reached.groupby(KEYS, sort=False)
            if line["aim"].notna().any() and not _is_elsewhere(line)
        ]
    )


def performance_profiles(table: pd.DataFrame) -> pd.DataFrame:
    """For each variant of `time_to_target` and each measure, how its times compare with the fastest
    variant's over all observation spaces; empty for fewer than two spaces.

    A line for each observation space: `ratio` r, the time over that of the fastest there, infinite
    where the target is not reached or the variant is not there. The profile rho(tau) is the share
    of spaces with r <= tau, and `score` its area from 1 to 4, over 3: 1 for a variant that is the
    fastest everywhere. So Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms"
    (AlgoPerf), after Dolan & More 2002; their workloads are observation spaces here, their trials
    seeds.
    """
    import pandas as pd

    if table.empty or table["observation_space"].nunique() < FEWEST_SPACES:
        return pd.DataFrame()
    named = pd.concat(
        part.assign(label=display_names(part)) for _, part in table.groupby("observation_space")
    )
    return pd.concat(_profiles(named), ignore_index=True)


def profile(ratios: Array, tau: Array) -> Array:
    """The share of workloads whose ratio is at most each tau: [T], for ratios [W]."""
    return np.asarray((ratios[:, None] <= tau).mean(0))


def score(ratios: Array) -> float:
    """The area under the profile from 1 to MOST_RATIO, as a share of what is possible."""
    return float(np.clip((MOST_RATIO - ratios) / (MOST_RATIO - 1.0), 0.0, None).mean())


def _profiles(named: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The ratios and scores by each measure that every line has."""
    for measure in MEASURES.values():
        if named[measure].isna().any():
            continue  # what is not timed is not compared
        times = named.pivot(index="label", columns="observation_space", values=measure)
        fastest = times.min()
        ratios = (times / fastest.where(np.isfinite(fastest))).fillna(np.inf)
        scores = {label: score(line.to_numpy()) for label, line in ratios.iterrows()}
        long = ratios.reset_index().melt("label", value_name="ratio")
        long = long.assign(measure=measure, score=long["label"].map(scores))
        yield long.sort_values(["score", "label"], ascending=[False, True])


def _usual_target(runs: pd.DataFrame) -> float:
    """The ELBO that half of the variants of one observation space reach in half of their runs."""
    bests = runs.fillna({"best": -np.inf}).groupby(KEYS)["best"]
    usual = bests.quantile(0.5, interpolation="lower")
    return float(usual[np.isfinite(usual)].quantile(0.5, interpolation="lower"))


def _first_points(points: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """What each run has taken at the first of its points that is at least at its `aim`; without
    runs that never are."""
    aims = runs.set_index("run")["aim"].reindex(points["run"].cat.categories)
    is_there = points[ELBO].to_numpy() >= aims.to_numpy()[points["run"].cat.codes]
    return points[is_there].drop_duplicates("run").set_index("run")[[*MEASURES]]


def _line(runs: pd.DataFrame) -> dict[str, object]:
    """What one variant takes, given a row for each run with its first point at the target."""
    times = {name: _median(runs[column]) for column, name in MEASURES.items()}
    if runs["best"].notna().any() and not runs["num_timed"].any():
        times["seconds"] = float("nan")
    num_reached = int(runs["step"].count())
    return {"target": runs["aim"].iloc[0], "runs": len(runs), "reached": num_reached, **times}


def _is_elsewhere(runs: pd.DataFrame) -> bool:
    """Whether runs were trained elsewhere: they are done, and have no learning curve."""
    return bool(runs["best"].isna().all() and (runs["status"] == "done").all())


def _median(values: pd.Series) -> float:
    return float(np.median(values.fillna(np.inf).to_numpy(float)))
