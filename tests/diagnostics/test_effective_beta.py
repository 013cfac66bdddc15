"""Weights used elsewhere as beta and sigma here: published cases, round trips, gradients."""

import itertools
import json
import math

import pytest
import torch
from click.testing import CliRunner

from vaebench.cli import main
from vaebench.core.errors import InputError
from vaebench.diagnostics.effective_beta import ForeignLoss, num_pixels, translate
from vaebench.ops import densities

CELEBA = num_pixels(None, "3x64x64")
PUBLISHED = {
    # squared error as written there -> the variance that it is the negative log of
    "pythae": (ForeignLoss(scale=0.5), 1.0),
    "disentanglement_lib": (ForeignLoss(), 1 / 2),
    # F.mse_loss(255 x_hat, 255 x, reduction="sum") / 255
    "disentangling-vae": (ForeignLoss(scale=1 / 255, white=255.0), 1 / 510),
    "PyTorch-VAE": (ForeignLoss(reduction="mean", pixels=CELEBA), 6144.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_losses_have_the_variances_that_they_imply(name):
    foreign, variance = PUBLISHED[name]
    computed = translate(foreign, kl_weight=3.0)
    assert computed.sigma**2 == pytest.approx(variance)
    assert (computed.beta, computed.factor) == (3.0, 1.0)


@pytest.mark.parametrize(("kl_weight", "beta"), [(0.00025, 1.536), (1.0, 6144.0)])
def test_pytorch_vae_trains_and_validates_with_two_betas(kl_weight, beta):
    foreign, _ = PUBLISHED["PyTorch-VAE"]
    assert translate(foreign, kl_weight=kl_weight, sigma=1.0).beta == pytest.approx(beta)


LOSSES = [
    ForeignLoss(loss, scale, reduction, kl_reduction, 5, 3, white)
    for loss, scale, reduction, kl_reduction, white in itertools.product(
        ("mse", "bce"), (0.5, 2.0), ("sum", "mean"), ("sum", "mean"), (1.0, 255.0)
    )
    if loss == "mse" or white == 1.0
]


def foreign_loss(foreign, kl_weight, x, out, kl):
    """The loss as the other code would write it."""
    white = foreign.white
    if foreign.loss == "mse":
        each = (white * x - white * out).square()
    else:
        each = -(x * out.sigmoid().log() + (1 - x) * (1 - out.sigmoid()).log())
    reconstruction = each.mean(-1) if foreign.reduction == "mean" else each.sum(-1)
    kl = kl.mean(-1) if foreign.kl_reduction == "mean" else kl.sum(-1)
    return foreign.scale * reconstruction + kl_weight * kl


def our_loss(x, out, kl, *, beta, sigma):
    if sigma is None:
        log_prob = densities.bernoulli_log_prob(x, out)
    else:
        log_prob = densities.gaussian_log_prob(x, out, torch.tensor([2 * math.log(sigma)]).to(x))
    return beta * kl.sum(-1) - log_prob


@pytest.mark.parametrize("foreign", LOSSES, ids=str)
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_gradients_are_proportional(foreign, sigma):
    """Training there is training here: at sigma None also with the same learning rate."""
    sigma = None if foreign.loss == "bce" else sigma
    computed = translate(foreign, kl_weight=0.7, sigma=sigma)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(4, 5, generator=generator) < 0.5).double()
    out, kl = (
        torch.rand(4, n, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in (5, 3)
    )
    there = torch.autograd.grad(foreign_loss(foreign, 0.7, x, out, kl).sum(), (out, kl))
    here = our_loss(x, out, kl, beta=computed.beta, sigma=computed.sigma).sum()
    for a, b in zip(there, torch.autograd.grad(here, (out, kl)), strict=True):
        torch.testing.assert_close(a, computed.factor * b)


@pytest.mark.parametrize("foreign", LOSSES, ids=str)
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_there_and_back(foreign, sigma):
    sigma = None if foreign.loss == "bce" else sigma
    there = translate(foreign, beta=2.5, sigma=sigma)
    back = translate(foreign, kl_weight=there.kl_weight, sigma=sigma)
    assert back.beta == pytest.approx(2.5)
    assert (back.sigma, back.factor) == (there.sigma, there.factor)


def command(*arguments):
    return CliRunner().invoke(main, ["effective-beta", *map(str, arguments)])


def test_command_prints_json_or_a_table():
    arguments = ("--reduction", "mean", "--image-size", "3x64x64", "--sigma", 1)
    done = command(*arguments, "--kl-weight", 0.00025, "--json")
    assert json.loads(done.stdout)["translation"][0]["beta"] == pytest.approx(1.536)
    back = command(*arguments, "--beta", 1.536, "--json")
    assert json.loads(back.stdout)["translation"][0]["kl_weight"] == pytest.approx(0.00025)
    assert "0.707107" in command().stdout
    assert command("--loss", "bce").stdout.split()[:3] == ["kl_weight", "beta", "factor"]


MISTAKES = {
    "pixels": (["--reduction", "mean"], "give --pixels or --image-size"),
    "latent": (["--kl-reduction", "mean"], "give --latent-dim"),
    "no pixels": (["--pixels", 0], "at least 1; got 0"),
    "size": (["--image-size", "3,64"], "must be like 3x64x64; got '3,64'"),
    "twice": (["--image-size", "3x4", "--pixels", 12], "give one of them"),
    "scale": (["--scale", 0], "scale must be finite and above 0; got 0"),
    "weight": (["--kl-weight", "nan"], "kl-weight must be finite and at least 0"),
    "beta": (["--beta", -1], "beta must be finite and at least 0; got -1"),
    "both": (["--beta", 1, "--kl-weight", 1], "leave out the one to be found"),
    "sigma": (["--sigma", "inf"], "sigma must be finite and above 0"),
    "bce": (["--loss", "bce", "--sigma", 1], "bce has no sigma"),
    "range": (["--loss", "bce", "--range", 255], "bce needs images in [0, 1]"),
    "loss": (["--loss", "l1"], "'l1' is not one of"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(mistake):
    arguments, message = MISTAKES[mistake]
    done = command(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_image_size():
    assert (num_pixels(7, None), num_pixels(None, "28x28"), num_pixels(None, None)) == (
        7,
        784,
        None,
    )
    with pytest.raises(InputError, match="at least 1"):
        ForeignLoss(pixels=num_pixels(None, "0x3"))
