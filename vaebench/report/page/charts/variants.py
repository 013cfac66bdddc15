"""The charts of the variants of an observation space."""

from __future__ import annotations

from typing import Any

import altair as alt

from vaebench.report.clinic.codes import UNUSED
from vaebench.report.page.charts.kind import Domain, Kind, axis_of, chart_of, faded, tooltip
from vaebench.report.page.points import GREY


def _above(points: Any) -> Domain:
    """The learning curves but for the far tail, where one without a rate term hides the rest."""
    low, middle, high = points["mean"].quantile([0.05, 0.5, 1.0])
    margin = max(high - middle, 0.05 * abs(middle))
    return [float(max(low, middle - 4.0 * margin)), float(high + 0.1 * margin)]


def _below(points: Any) -> Domain:
    """The NLLs but for those of which the distance to the best hides the rest."""
    least, middle = points["nll"].min(), points["nll"].median()
    margin = max(middle - least, 0.02 * abs(middle))
    most = min(points["nll"].max(), middle + 4.0 * margin)
    return [float(least - 0.2 * margin), float(most + 0.2 * margin)]


def _learning(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("curves").encode(
        x=alt.X("step:Q", title="training step"), color=colour, detail=alt.Detail("name:N")
    )
    elbo = alt.Scale(zero=False, domain=domain or alt.Undefined)
    band = base.mark_area(clip=True).encode(
        y=alt.Y("low:Q", scale=elbo, title="validation ELBO (nats)"),
        y2=alt.Y2("high:Q"),
        opacity=faded(0.2),
    )
    line = base.mark_line(clip=True).encode(
        y=alt.Y("mean:Q", scale=elbo),
        opacity=faded(1.0),
        tooltip=tooltip("name:N", "step:Q", "mean:Q", "low:Q", "high:Q"),
    )
    return alt.layer(band, line)


def _plane(colour: alt.Color, domain: Domain) -> Any:
    logarithmic = alt.Scale(type="symlog", constant=1)
    points = chart_of("runs").mark_circle(size=60)
    return points.encode(
        x=alt.X("rate:Q", scale=logarithmic, title="rate (nats, logarithmic from 1)"),
        y=alt.Y("distortion:Q", scale=alt.Scale(zero=False), title="distortion (nats)"),
        color=colour,
        opacity=faded(0.8),
        tooltip=tooltip("name:N", "seed:Q", "rate:Q", "distortion:Q", "nll:Q"),
    )


def _cost(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("costs").encode(
        x=alt.X("step_ms:Q", scale=alt.Scale(zero=False), title="time of a training step (ms)"),
        y=alt.Y(
            "nll:Q", scale=alt.Scale(zero=False, domain=domain or alt.Undefined), title="NLL (nats)"
        ),
    )
    front = base.transform_filter("datum.front === 1").mark_line(
        interpolate="step-after", color=GREY, strokeDash=[4, 3], clip=True
    )
    dots = base.mark_circle(size=90, clip=True).encode(
        color=colour, opacity=faded(1.0), tooltip=tooltip("name:N", "step_ms:Q", "nll:Q")
    )
    return alt.layer(front, dots)


def _dimensions(colour: alt.Color, domain: Domain) -> Any:
    line = chart_of("dimensions").mark_line(point=True)
    return line.encode(
        x=alt.X(
            "dimension:O",
            title="dimension of the code, the largest rate first",
            axis=alt.Axis(labelAngle=0, labelOverlap=True),
        ),
        y=alt.Y("rate:Q", scale=alt.Scale(type="symlog", constant=0.1), title="rate (nats)"),
        color=colour,
        detail=alt.Detail("name:N"),
        opacity=faded(1.0),
        tooltip=tooltip("name:N", "dimension:O", "rate:Q"),
    )


def _layers(colour: alt.Color, domain: Domain) -> Any:
    line = chart_of("layers").mark_line(point=True)
    return line.encode(
        x=alt.X(
            "layer:O",
            title="layer of latents, that beside the images first",
            axis=alt.Axis(labelAngle=0),
        ),
        y=alt.Y("rate:Q", scale=alt.Scale(type="symlog", constant=0.1), title="rate (nats)"),
        color=colour,
        detail=alt.Detail("name:N"),
        opacity=faded(1.0),
        tooltip=tooltip("name:N", "layer:O", "rate:Q"),
    )


def _trust(colour: alt.Color, domain: Domain) -> Any:
    """The NLL of each run as a dot, a cross where it is doubted, and minus its ELBO as the end of a
    line."""
    base = chart_of("runs").encode(
        x=alt.X(
            **axis_of("khat_high", "share of test examples with a high k-hat"),
            axis=alt.Axis(format="%"),
        ),
        color=colour,
    )
    nats = alt.Scale(zero=False, domain=domain or alt.Undefined)
    ends = {"y": alt.Y("nll:Q", scale=nats, title="NLL, and up to minus ELBO (nats)")}
    line = base.mark_rule(clip=True).encode(**ends, y2=alt.Y2("minus_elbo:Q"), opacity=faded(0.35))
    words = tooltip("name:N", "seed:Q", "nll:Q", "minus_elbo:Q", "khat_high:Q", "ess:Q")
    doubted = alt.condition("datum.doubted === 1", alt.value("cross"), alt.value("circle"))
    shape = alt.ShapeValue(**doubted)
    dots = base.mark_point(size=60, clip=True, filled=True).encode(
        **ends, shape=shape, opacity=faded(0.9), tooltip=words
    )
    return alt.layer(line, dots)


def _units(colour: alt.Color, domain: Domain) -> Any:
    base = chart_of("units").encode(y=alt.Y("name:N", sort=None, title=None))
    words = tooltip("name:N", "used:Q", "dimensions:Q")
    every = base.mark_bar(color=GREY).encode(
        x=alt.X("dimensions:Q", title="dimensions of the code", axis=alt.Axis(tickMinStep=1)),
        opacity=alt.OpacityValue(0.25),
    )
    used = base.mark_bar().encode(
        x=alt.X("used:Q"), color=colour, opacity=faded(1.0), tooltip=words
    )
    return alt.layer(every, used)


KINDS = (
    Kind(
        "curves",
        "Learning curves",
        "The ELBO at beta = 1 on validation data while training, higher is better: the mean over "
        "seeds and its 95% interval, which two or three seeds make wide and uncertain itself. A "
        "curve that still rises was not trained to its end.",
        _learning,
        _above,
    ),
    Kind(
        "runs",
        "Rate against distortion",
        "What the code costs against what the reconstruction loses, a point for each run; their "
        "sum is minus the ELBO, so lower left is better. It says how a bound is made up, and "
        "nothing of how far it is from log p(x).",
        _plane,
    ),
    Kind(
        "costs",
        "Quality against cost",
        "Held-out NLL against the time of a training step; the dashed line joins the variants that "
        "no other beats in both. Times are of this machine's last timing pass: small differences "
        "are another machine's ties.",
        _cost,
        _below,
    ),
    Kind(
        "dimensions",
        "Rate of each dimension",
        "How much each dimension of the code carries, the mean over seeds, sorted in each run. "
        "Where q(z|x) has dependent dimensions there is no such split, and no line.",
        _dimensions,
    ),
    Kind(
        "layers",
        "Rate of each layer",
        "How much each layer of latents carries, the mean over seeds. A layer near 0 is not used; "
        "rates of layers are of samples, so a small one may come out below 0.",
        _layers,
    ),
    Kind(
        "runs",
        "Bounds against trust",
        "Each run's NLL (dot) and minus ELBO (the line's other end), both upper bounds of "
        "-log p(x), the further right the less importance samples suffice. Do not rank by crosses: "
        "such an NLL is doubted, and its distance from the truth unknown.",
        _trust,
        _below,
        needs=("khat_high", "nll", "minus_elbo"),
    ),
    Kind(
        "units",
        "Used dimensions",
        f"Dimensions that carry {UNUSED} nats or more, the mean over seeds, of all that the code "
        "has (grey). Unused ones are a fault only where the NLL is worse for it: a model that is "
        "as good with fewer has pruned well.",
        _units,
        rows="name",
    ),
)
