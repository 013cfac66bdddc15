"""Rows -> tables: one line per variant, ranked within its observation space and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaebench.errors import InputError, near_match
from vaebench.report.statistics import Interval, mean_interval, paired_difference

if TYPE_CHECKING:
    import pandas as pd

RANKED_BY = "nll"
KEYS = ["observation_space", "likelihood", "variant", "settings"]
COLUMNS = {
    "nll": ("NLL (nats)", 2),
    "elbo": ("ELBO (nats)", 2),
    "rate": ("rate (nats)", 2),
    "distortion": ("distortion (nats)", 2),
    "bits_per_dim": ("bits/dim", 3),
    "active_units": ("active units", 1),
    "mse": ("MSE", 4),
    "frechet": ("Frechet", 1),
    "examples_per_s": ("examples/s", 0),
    "step_time_ratio": ("step time ratio", 2),
}
"""Metrics of the tables: heading and decimals."""
BRIEF = ("nll", "elbo", "rate", "active_units", "frechet", "examples_per_s", "step_time_ratio")
"""Those that fit a terminal."""


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per observation space, likelihood, variant and settings, best first; unrounded.

    For each metric: {metric}_mean, _low, _high (95% over seeds). `runs` and `done` count the seeds,
    `rank` orders by the mean NLL within the observation space; a variant with a run that diverged
    or failed has none. `tied` marks those whose paired difference from the first, over seeds,
    has an interval that includes 0.
    """
    import pandas as pd

    lines = [_line(key, group) for key, group in rows.groupby(KEYS, sort=False)]
    table = pd.DataFrame(lines)
    parts = [_ranked(part, rows) for _, part in table.groupby("observation_space", sort=True)]
    return pd.concat(parts, ignore_index=True)


def differences_in_words(rows: pd.DataFrame, name: str = RANKED_BY) -> list[str]:
    """A sentence per variant: how it differs from the first of its observation space.

    Paired by seed. Raises InputError for a metric that no run has.
    """
    known = set(rows.loc[rows["seed"].notna() & (rows["metric"] != ""), "metric"])
    if name not in known:
        raise InputError(f"no metric {name!r} that runs have; {near_match(name, known)}")
    unit = rows.loc[rows["metric"] == name, "unit"].iloc[0]
    sentences = []
    for space, part in summarise(rows).groupby("observation_space", sort=True):
        ranked = part[part["rank"].notna()]
        if not _has_values(ranked, name):
            continue
        lines, names = _records(ranked), line_names(ranked)
        for line, named in zip(lines[1:], names[1:], strict=True):
            d = _difference(rows, line, lines[0], name)
            verdict = _verdict(d)
            sentences.append(
                f"{space}: {named} and {names[0]} {verdict} in {name} (difference "
                f"{d.mean:.3g} {unit}, 95% interval {d.low:.3g} to {d.high:.3g}, {d.num} seeds)"
            )
    return sentences


def line_names(part: pd.DataFrame) -> list[str]:
    """What to call the lines (or rows) of one observation space: the variant, with the likelihood
    and the settings where these differ."""
    several = part["likelihood"].nunique() > 1
    likelihoods = part["likelihood"].to_list() if several else [""] * len(part)
    told = zip(part["variant"], likelihoods, differing(part["settings"].to_list()), strict=True)
    return [", ".join(filter(None, parts)) for parts in told]


def markdown(table: pd.DataFrame) -> str:
    """The summary as Markdown: one section per observation space, means with half-widths."""
    return "\n".join(
        f"### {space}\n\n{_section(part)}\n"
        for space, part in table.groupby("observation_space", sort=True)
    )


def made_with(rows: pd.DataFrame) -> str:
    """A line for each environment that the rows were made in."""
    lines = rows["environment"].drop_duplicates()
    return "".join(f"\nMade with {line}.\n" for line in lines)


def printable(part: pd.DataFrame, metrics: Iterable[str] = tuple(COLUMNS)) -> pd.DataFrame:
    """One observation space's lines of the summary as text: mean ± half-width of the interval."""
    import pandas as pd

    shown = {name: COLUMNS[name] for name in metrics if _has_values(part, name)}
    settings = differing(part["settings"].to_list())
    return pd.DataFrame(
        {
            "rank": [_rank_text(r, t) for r, t in zip(part["rank"], part["tied"], strict=True)],
            "likelihood": part["likelihood"].to_list(),
            "variant": part["variant"].to_list(),
            **({"settings": settings} if any(settings) else {}),
            "seeds": [
                str(done) if done == runs else f"{done} of {runs}"
                for done, runs in zip(part["done"], part["runs"], strict=True)
            ],
            **{
                heading: [_cell(line, name, decimals) for line in _records(part)]
                for name, (heading, decimals) in shown.items()
            },
        }
    )


def differing(settings: Sequence[str]) -> list[str]:
    """Of each "name=value name=value ..." the parts that not all of them have."""
    parts = [text.split() for text in settings]
    shared = set(parts[0]).intersection(*parts[1:]) if parts else set()
    return [" ".join(p for p in own if p not in shared) for own in parts]


def _line(key: Sequence[object], group: pd.DataFrame) -> dict[str, object]:
    """The summary of one variant: counts of its runs and an interval for each metric."""
    runs = group[group["seed"].notna()].drop_duplicates("run")
    line: dict[str, object] = dict(zip(KEYS, key, strict=True))
    line |= {"runs": len(runs), "done": int((runs["status"] == "done").sum())}
    for name, values in group[group["metric"] != ""].groupby("metric", sort=False)["value"]:
        interval = mean_interval(values.to_list())
        line |= {f"{name}_{field}": getattr(interval, field) for field in ("mean", "low", "high")}
    return line


def _ranked(part: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The lines of one observation space with `rank` and `tied`, best first."""
    score = f"{RANKED_BY}_mean"
    part = part.copy() if score in part else part.assign(**{score: float("nan")})
    complete = part["runs"] == part["done"]
    part["rank"] = part[score].where(complete).rank(method="min")
    part = part.sort_values(["rank", score], na_position="last")
    lines = _records(part)
    part["tied"] = [
        line["rank"] > 1 and _includes_zero(_difference(rows, line, lines[0], RANKED_BY))
        for line in lines
    ]
    return part


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in line.items()} for line in table.to_dict("records")]


def _difference(
    rows: pd.DataFrame, line: Mapping[str, object], best: Mapping[str, object], name: str
) -> Interval:
    """`name` of one variant minus that of the best, over the seeds that both have."""
    wide = rows[(rows["metric"] == name) & rows["seed"].notna()].pivot_table(
        index="seed", columns=KEYS, values="value"
    )
    ours, theirs = (wide[tuple(chosen[k] for k in KEYS)] for chosen in (line, best))
    both = ours.notna() & theirs.notna()
    return paired_difference(ours[both].to_list(), theirs[both].to_list())


def _includes_zero(interval: Interval) -> bool:
    """Also where there is no interval: one seed tells nothing apart."""
    return not (interval.low > 0.0 or interval.high < 0.0)


def _verdict(difference: Interval) -> str:
    if difference.num < 2:
        return "cannot be told apart by one seed"
    return "do not differ" if _includes_zero(difference) else "differ"


def _has_values(part: pd.DataFrame, name: str) -> bool:
    return f"{name}_mean" in part and bool(part[f"{name}_mean"].notna().any())


def _rank_text(rank: float, tied: bool) -> str:
    if rank != rank:
        return "-"
    return f"{rank:.0f}{' =1' if tied else ''}"


def _cell(line: Mapping[str, Any], name: str, decimals: int) -> str:
    mean, high = line[f"{name}_mean"], line[f"{name}_high"]
    if mean != mean:
        return ""
    width = "" if high != high else f" ± {high - mean:.{decimals}f}"
    return f"{mean:,.{decimals}f}{width}"


def _section(part: pd.DataFrame) -> str:
    return str(printable(part).to_markdown(index=False, disable_numparse=True))
