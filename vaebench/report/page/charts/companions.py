"""The charts of what else was measured in a folder, and of all observation spaces at once."""

from __future__ import annotations

from typing import Any

import altair as alt

from vaebench.report.page.charts.kind import Domain, Kind, axis_of, chart_of
from vaebench.report.page.points import GREY
from vaebench.report.time_to_target import MOST_RATIO


def _signal(side: str) -> Kind:
    """The signal-to-noise of the gradient of the encoder or the decoder."""
    points = f"signal of the {side}"

    def draw(colour: alt.Color, domain: Domain) -> Any:
        base = chart_of(points).encode(
            x=alt.X("num_samples:Q", title="K, samples", scale=alt.Scale(type="log")),
            color=colour,
        )
        snr = alt.Y("snr:Q", title="signal-to-noise of the gradient", scale=alt.Scale(type="log"))
        band = base.mark_rule().encode(y=alt.Y("low:Q"), y2="high:Q")
        line = base.mark_line(point=True).encode(
            y=snr, tooltip=["label:N", "num_samples:Q", "snr:Q", "step:Q"]
        )
        return alt.layer(band, line)

    return Kind(
        points,
        f"Signal-to-noise of the {side}'s gradient",
        "The norm of the mean gradient over its noise at the last checkpoint, one standard error "
        "either way. More signal is no better estimate where it is biased, which the table of "
        "`vaebench gradients` says, and what K samples cost is not in it.",
        draw,
    )


def _profile(measure: str, words: str) -> Kind:
    """The performance profile by one measure."""
    points = f"profile by {measure}"

    def draw(colour: alt.Color, domain: Domain) -> Any:
        return (
            chart_of(points)
            .mark_line(interpolate="step-after")
            .encode(
                x=alt.X(
                    "tau:Q", scale=alt.Scale(domain=[1.0, MOST_RATIO]), title="times the fastest"
                ),
                y=alt.Y("rho:Q", scale=alt.Scale(domain=[0.0, 1.0]), title="share of spaces"),
                color=colour,
                tooltip=["label:N", "tau:Q", "rho:Q"],
            )
        )

    return Kind(
        points,
        f"Performance profile by {words}",
        "The share of observation spaces in which a variant reaches the target within so many "
        f"times the {words} of the fastest: higher and further left is better. With few spaces "
        "it moves in large steps, and it hangs on the target.",
        draw,
    )


def _history(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("trials").encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1)), color=colour
    )
    tooltip = ["label:N", "trial:Q", "value:Q", "best:Q"]
    dots = base.mark_circle(size=30, opacity=0.4).encode(
        y=alt.Y(**axis_of("value", "target on validation data")), tooltip=tooltip
    )
    best = base.mark_line(interpolate="step-after").encode(y="best:Q", tooltip=tooltip)
    return alt.layer(dots, best)


def _front(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("front").encode(
        x=alt.X(**axis_of("second", "second target")),
        y=alt.Y(**axis_of("first", "first target")),
        color=colour,
    )
    tooltip = ["label:N", "trial:Q", "first:Q", "second:Q"]
    dots = base.mark_circle(size=30, opacity=0.4).encode(tooltip=tooltip)
    line = base.transform_filter("datum.front === 1").mark_line(
        interpolate="step-after", point=True
    )
    return alt.layer(dots, line)


def _gain(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("tuned").encode(y=alt.Y("label:N", sort=None, title=None))
    tooltip = ["label:N", "untuned:Q", "tuned:Q", "gain:Q", "low:Q", "high:Q", "verdict:N"]
    nats = alt.X("low:Q", title="NLL gained by tuning (nats)")
    interval = base.mark_rule(strokeWidth=2, color="#4c78a8").encode(x=nats, x2="high:Q")
    dots = base.mark_circle(size=80, color="#4c78a8").encode(x="gain:Q", tooltip=tooltip)
    zero = alt.Chart(alt.Data(values=[{"gain": 0.0}])).mark_rule(color=GREY).encode(x="gain:Q")
    return alt.layer(zero, interval, dots)


def _kernels(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("kernels").encode(y=alt.Y("operation:N", sort=None, title=None), color=colour)
    ms = alt.X("low:Q", scale=alt.Scale(type="log"), title="time (ms, logarithmic)")
    spread = base.mark_rule(strokeWidth=2, opacity=0.5).encode(x=ms, x2="high:Q")
    tooltip = ["operation:N", "label:N", "ms:Q", "low:Q", "high:Q"]
    return alt.layer(spread, base.mark_circle(size=50).encode(x="ms:Q", tooltip=tooltip))


KINDS = (
    _profile("steps", "steps"),
    _profile("decoder_evaluations", "decoder evaluations"),
    _profile("seconds", "seconds"),
    Kind(
        "tuned",
        "Tuned beside untuned",
        "What the best trial's settings gain on the study's own seeds and the test part, with the "
        "95% interval. An interval that reaches 0 shows no gain, and one sweep is one draw of the "
        "search.",
        _gain,
        rows="label",
    ),
    Kind(
        "trials",
        "The search",
        "Each trial's target on the validation part, and the best until then. The best of many "
        "trials is too good by chance: believe the final runs beside it, not this curve; pruned "
        "and lost trials have no value.",
        _history,
    ),
    Kind(
        "front",
        "The front of two targets",
        "Each trial's targets; the line joins those of a variant that no other trial of it beats "
        "in both. Values are of the validation part and of few seeds: what is near the front may "
        "be on it.",
        _front,
    ),
    _signal("encoder"),
    _signal("decoder"),
    Kind(
        "kernels",
        "Time of the fused operations",
        "The median of one forward and backward pass, and where most of the turns lie, by size "
        "(K x S x B x D) or by way of computing. Of this "
        "machine, one thread and these sizes alone; compare within a line, as work beside it "
        "slows all of them.",
        _kernels,
        rows="operation",
    ),
)
