"""Figures of a search: what Optuna draws of its trials, by matplotlib, as files."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from vaebench import results
from vaebench.running.sweeps.quiet import quiet
from vaebench.running.sweeps.rounds import Tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
LARGE: Any = {"figure.figsize": (12, 9), "figure.constrained_layout.use": True, "axes.labelsize": 8}
MOST_CONTOURS = 4
"""Parameters of a contour plot, which has a panel for each pair, at most: the first."""
LONGEST = 60
"""Letters of a variant's name in that of its folder; systems take 255 bytes."""
FEWEST = 2
"""Trials with values that a figure needs."""


def folder_names(variants: Sequence[str]) -> list[str]:
    """A folder's name for each variant, by its own as far as file systems take that, all different:
    those that would be alike, or would be in a system that does not tell capitals from others, end
    with a hash of the whole."""
    plain = [re.sub(r"[^\w.=-]+", "_", one)[:LONGEST].strip("_.") for one in variants]
    alike = Counter(one.casefold() for one in plain)
    marks = [hashlib.sha256(one.encode()).hexdigest()[:8] for one in variants]
    return [
        one if one and alike[one.casefold()] == 1 else f"{one}_{mark}".strip("_")
        for one, mark in zip(plain, marks, strict=True)
    ]


def write_figures(folder: Path, tuned: Tuned) -> list[Path]:
    """Write figures of one variant's search into a folder; their paths.

    History, parameter importances, slices, contours and parallel coordinates of one target; of
    several, the front of two or three. Nothing without the extra `report`.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return []
    results.writable(folder)
    paths = []
    study = _finite(tuned.search.memory, tuned.search.stored.metric_names)
    for name, draw in _drawn(study).items():
        with quiet(), pyplot.rc_context(LARGE):
            try:
                draw()
                content = _png(pyplot.gcf())
            except (RuntimeError, ValueError, ZeroDivisionError):
                continue  # too few trials for this figure, or trials that are all alike
            finally:
                pyplot.close("all")
        results.write_atomically(folder / f"{name}.png", content)
        paths.append(folder / f"{name}.png")
    return paths


def _drawn(study: optuna.Study) -> Mapping[str, Callable[[], Any]]:
    """What draws each figure."""
    from optuna.visualization import matplotlib as draw

    num_targets = len(study.directions)
    if len(study.get_trials(deepcopy=False)) < FEWEST:
        return {}
    if num_targets > 1:
        return {"pareto": lambda: draw.plot_pareto_front(study)} if num_targets < 4 else {}
    params = list(dict.fromkeys(_searched(study)))
    return {
        "history": lambda: draw.plot_optimization_history(study),
        "importances": lambda: draw.plot_param_importances(study),
        "slice": lambda: draw.plot_slice(study),
        "contour": lambda: draw.plot_contour(study, params=params[:MOST_CONTOURS]),
        "parallel": lambda: draw.plot_parallel_coordinate(study),
    }


def _searched(study: optuna.Study) -> Iterator[str]:
    for trial in study.get_trials(deepcopy=False):
        yield from (name for name, d in trial.distributions.items() if not d.single())


def _finite(study: optuna.Study, names: list[str]) -> optuna.Study:
    """The trials that were neither lost nor pruned, as a study of their own."""
    with quiet():
        copy = optuna.create_study(directions=study.directions)
        copy.set_metric_names(names)
    done = optuna.trial.TrialState.COMPLETE
    for trial in study.get_trials(deepcopy=False, states=(done,)):
        if trial.user_attrs["status"] == "done":
            copy.add_trial(trial)
    return copy


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
    return buffer.getvalue()
