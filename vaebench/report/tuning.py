"""What tuning gained each variant, and whether it changes the ranking: pure functions of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vaebench.report.comparison import judged
from vaebench.report.pairs import Family, Judged, pair
from vaebench.report.standings import RANKED_BY, Examples, Standing, no_examples, ranked, standings
from vaebench.report.verdicts import Verdict
from vaebench.results import UNITS, Tuning

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("untuned", "tuned")


@dataclass(frozen=True)
class Space:
    """The final runs of one observation space: each variant untuned and tuned, best first."""

    name: str
    untuned: Sequence[Standing]
    tuned: Sequence[Standing]

    @property
    def both(self) -> list[tuple[Standing, Standing]]:
        """Each variant untuned and tuned, in the order of the untuned; not those without a best."""
        tuned = {one.name: one for one in self.tuned}
        return [(one, tuned[one.name]) for one in self.untuned if one.name in tuned]


def tuned_beside_untuned(
    rows: pd.DataFrame,
    tunings: Sequence[Tuning],
    examples: Examples = no_examples,
    metric: str = RANKED_BY,
) -> pd.DataFrame:
    """A line for each variant: its final runs untuned and tuned, and what its search took.

    `untuned` and `tuned` are means over the final seeds, `gain` is by how much the tuned variant is
    better, with its 95% interval `low` to `high` over seeds and examples; `p_holm` allows for all
    variants of the observation space, and `verdict` is in the words of `Verdict`. `trials`,
    `pruned`, `lost`, `steps` and `decoder_evaluations` are of the search, `parameters` what its
    best trial drew. Numbers are NaN for a variant without a best trial.
    """
    import pandas as pd

    lines = []
    for space in _spaces(rows, tunings, metric):
        gains = {one.pair.worse.name: one for one in _gains(space, metric, examples).judged}
        for tuning in tunings:
            if tuning.variant in {one.name for one in space.untuned}:
                line = _line(tuning, gains.get(tuning.variant), metric)
                lines.append({"observation_space": space.name, **line})
    return pd.DataFrame(lines)


def ranking(
    rows: pd.DataFrame,
    tunings: Sequence[Tuning],
    examples: Examples = no_examples,
) -> list[str]:
    """Say of each observation space whether its ranking changes once all variants are tuned."""
    return [
        f"{space.name}: {_answer(space, examples)}"
        for space in _spaces(rows, tunings, RANKED_BY)
        if len(space.both) > 1
    ]


def printable(table: pd.DataFrame) -> list[dict[str, str]]:
    """The lines of `tuned_beside_untuned` as text, for a terminal."""
    spaces = table["observation_space"].nunique() > 1
    return [
        {
            **({"observation space": line["observation_space"]} if spaces else {}),
            "variant": line["variant"],
            "untuned": f"{line['untuned']:.2f}",
            "tuned": f"{line['tuned']:.2f}",
            "gain": f"{line['gain']:.2f} [{line['low']:.2f}, {line['high']:.2f}]",
            "verdict": ": ".join(filter(None, (str(line["verdict"]), line["reason"]))),
            "trials": f"{line['trials']} ({line['pruned']} pruned, {line['lost']} lost)",
            "steps": f"{line['steps']:,}",
            "decoder evaluations": f"{line['decoder_evaluations']:,}",
            "tuned values": line["parameters"],
        }
        for line in table.to_dict("records")
    ]


def gains_in_words(table: pd.DataFrame, metric: str = RANKED_BY) -> list[str]:
    """A sentence for each line of `tuned_beside_untuned`."""
    return [_gain_in_words(line, metric) for line in table.to_dict("records")]


def _gain_in_words(line: Mapping[Any, Any], metric: str) -> str:
    unit, _ = UNITS.get(metric, ("", None))
    searched = f"{line['trials']} trials, {line['pruned']} pruned, {line['lost']} lost"
    who = f"{line['observation_space']}: {line['variant']}"
    if line["gain"] != line["gain"]:
        return f"{who} was not compared with itself tuned ({searched}): {line['reason']}"
    interval = f"95% interval {line['low']:.3g} to {line['high']:.3g}"
    return (
        f"{who} gains {line['gain']:.3g} {unit} of {metric} by tuning ({interval}; tuned and "
        f"untuned {line['verdict']}; {searched}): {line['parameters']}"
    )


def _spaces(rows: pd.DataFrame, tunings: Sequence[Tuning], metric: str) -> list[Space]:
    """The final runs, with the names of the variants in the place of their settings."""
    sides = {side: _standings(_of_side(rows, tunings, side), metric) for side in SIDES}
    return [
        Space(space, untuned, sides["tuned"].get(space, []))
        for space, untuned in sides["untuned"].items()
    ]


def _of_side(rows: pd.DataFrame, tunings: Sequence[Tuning], side: str) -> pd.DataFrame:
    by_run = {run: tuning.variant for tuning in tunings for run in getattr(tuning, side)}
    chosen = rows[rows["run"].isin(list(by_run))]
    return chosen.assign(variant=chosen["run"].map(by_run), likelihood="", settings="")


def _standings(rows: pd.DataFrame, metric: str) -> dict[str, list[Standing]]:
    return {
        space: standings(rows[rows["observation_space"] == space], order, metric)
        for space, order in ranked(rows)
    }


def _gains(space: Space, metric: str, examples: Examples) -> Family:
    """Each variant untuned minus the same tuned, at the seeds that both have."""
    return Family([pair(untuned, tuned, metric, examples) for untuned, tuned in space.both])


def _line(tuning: Tuning, compared: Judged | None, metric: str) -> dict[str, Any]:
    """One variant's line. A gain is better high, whatever the metric."""
    sign = -1.0 if UNITS.get(metric, ("", None))[1] else 1.0
    nan = float("nan")
    gain, low, high = nan, nan, nan
    if compared is not None and compared.pair.spread is not None:
        gain = sign * float(compared.pair.spread.mean)
        low, high = sorted(sign * end for end in (compared.low, compared.high))
    return {
        "variant": tuning.variant,
        "untuned": nan if compared is None else _mean(compared.pair.worse),
        "tuned": nan if compared is None else _mean(compared.pair.better),
        "gain": gain,
        "low": low,
        "high": high,
        "p_holm": nan if compared is None else compared.p_holm,
        "verdict": Verdict.NOT_COMPARED if compared is None else compared.verdict,
        "reason": "no trial was fit to be chosen" if compared is None else compared.pair.reason,
        "trials": tuning.trials,
        "pruned": tuning.pruned,
        "lost": tuning.lost,
        "steps": tuning.steps,
        "decoder_evaluations": tuning.decoder_evaluations,
        "parameters": ", ".join(f"{n}={_shown(v)}" for n, v in tuning.parameters.items()),
    }


def _mean(standing: Standing) -> float:
    values = [run.value for run in standing.runs.values()]
    return sum(values) / len(values) if values else float("nan")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _answer(space: Space, examples: Examples) -> str:
    """Whether the ranking changes, by means and by what the pairs show."""
    before, after = (_signs(side, examples) for side in (space.untuned, space.tuned))
    orders = [
        [one.name for one in side if one.name in {name for pair in after for name in pair}]
        for side in (space.untuned, space.tuned)
    ]
    shared = [both for both in before if both in after]
    left = math.comb(len(space.untuned), 2) - len(shared)
    turned = [p for p in shared if before[p] * after[p] < 0]
    lost = [p for p in shared if before[p] and not after[p]]
    new = [p for p in shared if after[p] and not before[p]]
    asked = "does the ranking change once all are tuned?"
    ranks = f"untuned {' < '.join(orders[0])}; tuned {' < '.join(orders[1])}"
    changes = "; ".join(
        f"{words} {_named(pairs)}"
        for words, pairs in (
            ("the other way round:", turned),
            ("no longer told apart:", lost),
            ("told apart now:", new),
        )
        if pairs
    )
    if not shared:
        return f"{asked} it cannot be said: no two variants are compared both untuned and tuned"
    if turned:
        verdict = f"yes, {len(turned)} of {len(shared)} pairs differ the other way round"
    elif changes:
        verdict = f"in part, {len(lost) + len(new)} of {len(shared)} pairs have another verdict"
    elif orders[0] != orders[1]:
        verdict = "not so that it could be told: means change places, verdicts on pairs do not"
    else:
        verdict = "no"
    if left:
        verdict += (
            f", as far as can be said: {left} more {'are' if left > 1 else 'is'} not compared"
        )
    details = "; ".join(filter(None, (f"by {RANKED_BY}, best first: {ranks}", changes)))
    return f"{asked} {verdict} ({details})"


def _signs(variants: Sequence[Standing], examples: Examples) -> dict[tuple[str, str], int]:
    """For each pair, by names in order: 1 where the first is better and they differ, -1 where the
    second is, 0 where they are not told apart. Pairs that are not compared are left out."""
    signs: dict[tuple[str, str], int] = {}
    for compared in judged(variants, RANKED_BY, examples).judged:
        if compared.verdict == Verdict.NOT_COMPARED:
            continue
        names = compared.pair.better.name, compared.pair.worse.name
        first, second = sorted(names)
        better = 1 if names[0] == first else -1
        signs[first, second] = better if compared.verdict == Verdict.DIFFER else 0
    return signs


def _named(pairs: Sequence[tuple[str, str]]) -> str:
    return " | ".join(" and ".join(both) for both in pairs)  # names have commas
