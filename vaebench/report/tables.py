"""Rows -> tables: one line per variant, ranked within its observation space and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaebench.core.shown import markdown as as_markdown
from vaebench.report.comparison import Contest, contests
from vaebench.report.groups import grouped
from vaebench.report.labels import differing, display_names, rounded
from vaebench.report.pairs import EARLIER
from vaebench.report.spaces import SPACE, TITLE
from vaebench.report.standings import (
    Examples,
    mappings,
    no_examples,
    text,
    used,
)
from vaebench.report.training import endings
from vaebench.report.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "nll": ("NLL (nats)", 2),
    "ais_nll": ("AIS NLL (nats)", 2),
    "elbo": ("ELBO (nats)", 2),
    "rate": ("rate (nats)", 2),
    "distortion": ("distortion (nats)", 2),
    "bits_per_dim": ("bits/dim", 3),
    "ess": ("ESS share", 3),
    "approximation_gap": ("approximation gap (nats)", 2),
    "amortisation_gap": ("amortisation gap (nats)", 2),
    "active_units": ("active units", 1),
    **{f"rate_layer_{i}": (f"rate of layer {i} (nats)", 2) for i in range(1, 5)},
    **{f"active_layer_{i}": (f"active in layer {i}", 1) for i in range(1, 5)},
    "mutual_information": ("mutual information (nats)", 2),
    "mig": ("MIG", 3),
    "mse": ("MSE", 4),
    "frechet": ("Frechet", 1),
    "kid": ("KID", 2),
    "precision": ("precision", 2),
    "recall": ("recall", 2),
    "examples_per_s": ("examples/s", 0),
    "step_time_ratio": ("step time ratio", 2),
}
"""Metrics of the tables: heading and decimals."""
BRIEF = ("nll", "elbo", "rate", "active_units", "frechet", "examples_per_s", "step_time_ratio")
"""The metrics that fit a terminal."""
NOT_TRUSTED, NOT_ONE_WAY, NOT_LAST = "†", "‡", "§"
OF_EXAMPLES = " of the examples"
"""How a reason not to trust a value ends that holds for some examples."""


def summarise(rows: pd.DataFrame, examples: Examples = no_examples) -> pd.DataFrame:
    """Summarise rows by observation space, likelihood, variant and settings, best first; unrounded.

    For each metric: {metric}_mean, _low, _high (95% over seeds), and where the rows say it,
    _sampling_low, _sampling_high (the mean ends of its sampling interval), _reference (of real
    data), _fingerprint, _trust (why not to trust it, in the first run where that is so), _doubted
    (in how many runs) and _unequal (it was made in different ways within the observation space).
    `runs` and `done` count the seeds, `rank` orders by the mean NLL within the observation space; a
    variant with a run that diverged or failed has none.

    `shares` is the rank of the first of its group: from the best down, lines that do not "differ"
    (see `comparisons`) from the first of the group, all pairs of the space allowed for. `verdict`
    is what those two show, in the words of `Verdict`; "" for the first. Where the first of a group
    is not compared with a better one, `not_compared` is the rank of the nearest such, and `why_not`
    the reason.
    """
    return summary(contests(used(rows), examples))


def summary(every: Sequence[Contest]) -> pd.DataFrame:
    """`summarise` of variants that are paired already."""
    import pandas as pd

    return pd.concat(map(grouped, every), ignore_index=True)


def markdown(table: pd.DataFrame) -> str:
    """Write the summary as Markdown: a section per observation space, means with half-widths."""
    return "\n".join(
        f"### {as_markdown(title_of(part))}\n\n{_section(part)}\n"
        for _, part in table.groupby("observation_space", sort=True)
    )


def title_of(part: pd.DataFrame) -> str:
    """What people call the observation space of these lines; its word where no line says."""
    return str(part[TITLE if TITLE in part else SPACE].iloc[0])


def made_with(rows: pd.DataFrame) -> str:
    """A line for each environment that the rows were made in."""
    environments = rows["environment"].drop_duplicates()
    return "".join(f"\nMade with {as_markdown(one)}.\n" for one in environments)


def printable(part: pd.DataFrame, metrics: Iterable[str] = tuple(COLUMNS)) -> pd.DataFrame:
    """One observation space's lines of the summary as text: mean ± half-width of the interval.

    What the marks mean is said by `footnotes`.
    """
    import pandas as pd

    settings = differing(part)
    lines = mappings(part)
    return pd.DataFrame(
        {
            "rank": [rank_text(line) for line in lines],
            "likelihood": part["likelihood"].to_list(),
            "variant": rounded(part["variant"].to_list()),
            **({"settings": rounded(settings)} if any(settings) else {}),
            "seeds": [_seeds(line) for line in lines],
            **{
                _heading(part, name): [cell(line, name) for line in lines]
                for name in shown_metrics(part, metrics)
            },
        }
    )


def footnotes(part: pd.DataFrame, metrics: Iterable[str] = tuple(COLUMNS)) -> list[str]:
    """What the marks of `printable` mean, for one observation space, and what real data score."""
    names, lines = display_names(part), mappings(part)
    shown = shown_metrics(part, metrics)
    notes = list(_rank_notes(lines))
    for name in shown:
        heading = COLUMNS[name][0]
        if _is_unequal(part, name):
            ways = _ways(names, [text(line, f"{name}_fingerprint") for line in lines])
            notes.append(f"{NOT_ONE_WAY} {heading}: made in different ways, not to compare: {ways}")
    training = {name: text(line, "training") for name, line in zip(names, lines, strict=True)}
    notes += [f"{NOT_LAST} {ending}" for ending in endings(training)]
    notes += _doubts(shown, names, lines)
    if real := [f"{COLUMNS[n][0]} {score}" for n in shown if (score := _reference(part, n))]:
        notes.append(f"real data, train against test: {', '.join(real)}")
    return notes


def _doubts(
    shown: Sequence[str], names: Sequence[str], lines: Sequence[Mapping[str, Any]]
) -> list[str]:
    """A note for each reason, with the metrics and all the variants that it holds of."""
    headings: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for metric in shown:
        variants: dict[str, list[str]] = {}
        for name, line in zip(names, lines, strict=True):
            for reason, extent in reasons(line, metric):
                first = reason not in variants
                amount = extent if first else extent.replace(OF_EXAMPLES, "")
                variants.setdefault(reason, []).append(f"{name} ({amount})" if amount else name)
        for reason, doubted in variants.items():
            headings.setdefault((reason, tuple(doubted)), []).append(COLUMNS[metric][0])
    return [
        f"{NOT_TRUSTED} {', '.join(metrics)}: {reason}: {'; '.join(doubted)}"
        for (reason, doubted), metrics in headings.items()
    ]


def reasons(line: Mapping[str, Any], metric: str) -> Iterator[tuple[str, str]]:
    """Why a variant's value is not to be trusted: each reason, and of how much it holds.

    That is a share of the examples, where the reason is about examples, and how many runs are
    doubted, where not all are.
    """
    doubted = text(line, f"{metric}_doubted")
    runs = "" if doubted == f"{line['done']} of {line['done']} runs" else doubted
    for doubt in filter(None, text(line, f"{metric}_trust").split("; ")):
        reason, _, share = doubt.rpartition(" for ")
        if not (reason and share.endswith(OF_EXAMPLES)):
            reason, share = doubt, ""
        yield reason, ", ".join(filter(None, (share, runs)))


def shown_metrics(part: pd.DataFrame, metrics: Iterable[str]) -> list[str]:
    """The metrics of these that a line of one observation space has."""
    return [name for name in metrics if _has_values(part, f"{name}_mean")]


def _has_values(part: pd.DataFrame, column: str) -> bool:
    return column in part and bool(part[column].notna().any())


def _is_unequal(part: pd.DataFrame, name: str) -> bool:
    return _has_values(part, f"{name}_unequal") and bool(part[f"{name}_unequal"].eq(True).any())


def _heading(part: pd.DataFrame, name: str) -> str:
    heading = COLUMNS[name][0]
    return f"{heading} {NOT_ONE_WAY}" if _is_unequal(part, name) else heading


def rank_text(line: Mapping[str, Any]) -> str:
    """The rank of a line, and which better one it is not told apart from or not compared with."""
    rank, shares = line["rank"], line["shares"]
    if rank != rank:
        return "-"
    uncompared = line.get("not_compared", float("nan"))
    if uncompared == uncompared:
        return f"{rank:.0f} ?{uncompared:.0f}"
    mark = "~" if line["verdict"] == Verdict.MAY_DIFFER else "="
    return f"{rank:.0f}{f' {mark}{shares:.0f}' if shares < rank else ''}"


def _rank_notes(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    cells = [rank_text(line) for line in lines]
    if any("=" in cell for cell in cells):
        yield (
            "=N: not told apart from rank N: the 95% interval of the paired difference includes 0, "
            "or one seed has none"
        )
    if any("~" in cell for cell in cells):
        yield "~N: its own interval leaves 0 out, but not once all pairs are allowed for (Holm)"
    for reason in dict.fromkeys(filter(None, (text(line, "why_not") for line in lines))):
        yield f"?N: not compared with rank N: {reason}"


def _seeds(line: Mapping[str, Any]) -> str:
    done, runs = line["done"], line["runs"]
    mark = f" {NOT_LAST}" if text(line, "training") else ""
    return f"{done}{'' if done == runs else f' of {runs}'}{mark}"


def cell(line: Mapping[str, Any], name: str) -> str:
    """Mean and half-width over seeds; for one seed the interval of its sampling, where known."""
    decimals = COLUMNS[name][1]
    mean, high = line[f"{name}_mean"], line[f"{name}_high"]
    if mean != mean:
        return ""
    low, top = (line.get(f"{name}_sampling_{end}", float("nan")) for end in ("low", "high"))
    width = f" ± {high - mean:.{decimals}f}" if high == high else ""
    sampled = f" [{low:,.{decimals}f}, {top:,.{decimals}f}]" if not width and low == low else ""
    mark = f" {NOT_TRUSTED}" if text(line, f"{name}_trust") else ""
    return f"{mean:,.{decimals}f}{width}{sampled}{mark}"


def _reference(part: pd.DataFrame, name: str) -> str:
    """What real data score by a metric, where that is known and the metric was made in one way."""
    column = f"{name}_reference"
    if not _has_values(part, column) or _is_unequal(part, name):
        return ""
    return f"{part[column].mean():,.{COLUMNS[name][1]}f}"


def _ways(names: Iterable[str], fingerprints: Iterable[str]) -> str:
    """Which lines were made in which way."""
    by_way: dict[str, list[str]] = {}
    for name, fingerprint in zip(names, fingerprints, strict=True):
        by_way.setdefault(fingerprint or EARLIER, []).append(name)
    return "; ".join(f"{way}: {', '.join(of_way)}" for way, of_way in by_way.items())


def _section(part: pd.DataFrame) -> str:
    cells = printable(part).map(as_markdown)
    table = cells.to_markdown(index=False, disable_numparse=True)
    space = part[SPACE].iloc[0]
    notes = [*footnotes(part), *([f"observation space: {space}"] if TITLE in part else [])]
    return "\n".join([str(table), *(f"\n{as_markdown(note)}" for note in notes)])
