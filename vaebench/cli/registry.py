"""Commands about registered entries: list them, certify them, translate a KL weight."""

from __future__ import annotations

import sys
from typing import Literal

import click

from vaebench.cli.as_json import key, print_json
from vaebench.cli.completion import names_of, words
from vaebench.cli.group import main
from vaebench.cli.names import HOMES
from vaebench.cli.options import json_option, plugin_option
from vaebench.cli.show import print_line, print_table
from vaebench.core.errors import InputError, near_match

KINDS_WITH_FACTS = ("objectives", "likelihoods", "priors", "posteriors", "models")


@main.command("list")
@click.argument("kind", required=False, shell_complete=words(*HOMES, "datasets"))
@json_option
@click.option(
    "--markdown", "as_markdown", is_flag=True, help="Print the same as a page in Markdown."
)
@plugin_option
def list_(kind: str | None, as_json: bool, as_markdown: bool, plugins: tuple[str, ...]) -> None:
    """List what there is to choose from.

    All of it, or one KIND. Kinds are objectives, likelihoods, posteriors, priors, models,
    schedules, gradings, datasets, executors and listeners.
    """
    from vaebench.core.plugins import load_plugins
    from vaebench.diagnostics.catalogue import catalogue, markdown

    load_plugins(plugins)
    kinds = catalogue()
    if kind is not None and kind not in kinds:
        raise InputError(f"unknown kind {kind!r}; {near_match(kind, kinds)}")
    chosen = {kind: kinds[kind]} if kind else kinds
    if as_json:
        print_json(**{name: [_keyed(entry) for entry in rows] for name, rows in chosen.items()})
        return
    if as_markdown:
        click.echo(markdown(chosen), nl=False)
        return
    for name, entries in chosen.items():
        brief = [
            {k: v for k, v in entry.items() if k not in ("same as", "source")} for entry in entries
        ]
        print_table(name, brief)


def _keyed(entry: dict[str, str]) -> dict[str, str]:
    """An entry with keys for the headings of its columns."""
    return {key(heading): value for heading, value in entry.items()}


@main.command()
@click.argument("names", nargs=-1, shell_complete=names_of(*KINDS_WITH_FACTS))
@click.option(
    "--kind", type=click.Choice(KINDS_WITH_FACTS), help="Check only the entries of one kind."
)
@click.option(
    "--posterior",
    metavar="NAME",
    shell_complete=names_of("posteriors"),
    help="Check objectives with this posterior of layers alone: hierarchical, ladder.",
)
@json_option
@plugin_option
def certify(
    names: tuple[str, ...],
    kind: str | None,
    posterior: str | None,
    as_json: bool,
    plugins: tuple[str, ...],
) -> None:
    """Check what entries declare, against exact answers.

    All entries are checked, or those of these NAMES. Then derive the ELBO, equation by equation,
    with the numbers of both sides. A remark is about something that an entry does not declare, and
    is no failure.
    """
    from vaebench.core.plugins import load_plugins
    from vaebench.diagnostics.certify import certify as check
    from vaebench.diagnostics.certify import covered, derivation

    load_plugins(plugins)
    findings, steps = check(names, kind, posterior), derivation()
    # What fails comes first, then remarks.
    findings.sort(key=lambda finding: (not finding.fails, finding.holds))
    rows = {
        "findings": [finding.as_row() for finding in findings],
        "derivation": [step.as_row() for step in steps],
    }
    results = [row["result"] for part in rows.values() for row in part]
    num_failing, num_remarks = results.count("FAILS"), results.count("remark")
    if as_json:
        print_json(**{name: [_keyed(row) for row in part] for name, part in rows.items()})
    else:
        print_table("declared facts, against exact answers", rows["findings"])
        print_table("the ELBO, derived on the linear-Gaussian VAE", rows["derivation"])
        kinds = {finding.kind for finding in findings}
        for name, words in covered().items():
            if name in kinds:
                print_line(f"{name}: {words}")
        if num_remarks:
            print_line(f"remarks, on what is not declared: {num_remarks}")
        print_line(f"{results.count('holds')} facts hold, {num_failing} fail")
    if num_failing:
        sys.exit(1)


@main.command("effective-beta")
@click.option(
    "--loss",
    type=click.Choice(["mse", "bce"]),
    default="mse",
    show_default=True,
    help="The reconstruction loss there: squared error, or binary cross-entropy.",
)
@click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    help="A factor on the reconstruction loss there, such as 0.5.",
)
@click.option(
    "--reduction",
    type=click.Choice(["sum", "mean"]),
    default="sum",
    show_default=True,
    help="Whether the reconstruction loss there is summed or averaged over pixels.",
)
@click.option("--kl-weight", type=float, help="The weight on the KL term there. Default: 1.")
@click.option(
    "--kl-reduction",
    type=click.Choice(["sum", "mean"]),
    default="sum",
    show_default=True,
    help="Whether the KL there is summed or averaged over latent dimensions.",
)
@click.option(
    "--pixels", type=int, help="How many values an image has, channels included: 784, 12288..."
)
@click.option(
    "--image-size", metavar="CxHxW", help="The size of an image, in the place of --pixels: 3x64x64."
)
@click.option(
    "--latent-dim",
    type=int,
    help="How many dimensions the code has; needed with --kl-reduction mean.",
)
@click.option(
    "--range",
    "white",
    type=float,
    default=1.0,
    show_default=True,
    help="The largest value of an image there: 1, or 255 for images in [0, 255].",
)
@click.option(
    "--sigma",
    type=float,
    help="The sigma of the Gaussian likelihood here. Default: the one that the loss there implies.",
)
@click.option(
    "--beta",
    type=float,
    help="The other way round: say which KL weight to use there for this beta.",
)
@json_option
def effective_beta(
    loss: Literal["mse", "bce"],
    scale: float,
    reduction: Literal["sum", "mean"],
    kl_weight: float | None,
    kl_reduction: Literal["sum", "mean"],
    pixels: int | None,
    image_size: str | None,
    latent_dim: int | None,
    white: float,
    sigma: float | None,
    beta: float | None,
    as_json: bool,
) -> None:
    """Translate a KL weight from elsewhere, and back.

    Say how the loss there is written, and get the beta and sigma that mean the same here.

    Elsewhere: scale * reconstruction + kl_weight * KL, both reduced over the batch in one way.
    """
    from vaebench.diagnostics.effective_beta import ForeignLoss, num_pixels, translate

    foreign = ForeignLoss(
        loss=loss,
        scale=scale,
        reduction=reduction,
        kl_reduction=kl_reduction,
        pixels=num_pixels(pixels, image_size),
        latent_dim=latent_dim,
        white=white,
    )
    row = translate(foreign, kl_weight=kl_weight, beta=beta, sigma=sigma).as_row()
    if as_json:
        print_json(translation=[row])
        return
    print_table("", [{k: f"{v:.6g}" for k, v in row.items() if v is not None}])
    print_line("the loss there = factor * this suite's loss at beta and sigma + a constant")
