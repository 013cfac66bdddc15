"""The evaluation chunk by chunk: which chunks do not show, and what they hold."""

import math
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.support import ROOT
from tests.support.families import model_of
from tests.support.runs import tiny
from vaebench.config.build import build_stack, streams
from vaebench.core.memory import PeakBytes
from vaebench.diagnostics.certify.exact.linear_gaussian import replicas
from vaebench.evaluation.chunks import CACHE_BYTES, rows_within
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.evaluation.samples.drawn import prior_means
from vaebench.models.terms import compute_terms
from vaebench.ops.noise import Noise, normals, uniforms

N = 23
NOISE = Noise((1,))


@pytest.fixture
def x(true_posterior):
    return normals(Noise((3,)), 1, N, true_posterior.decoder.weight.shape[-1])[0, 0].double()


def mlp_stack(num_runs, **more):
    """A stack of 784-400-20 and binary images [3, 784]."""
    configs = [tiny(model={"latent_dim": 20, "widths": [400]}, seed=i) for i in range(num_runs)]
    images = (uniforms(Noise((5,)), 3, 784)[0] < 0.2).float()
    return build_stack(configs, (28, 28)), images, streams(configs, "evaluate")


def peak_of(work):
    with PeakBytes() as memory:
        work()
    return memory.peak


# ------------------------------------------------------------------ what does not show


@pytest.mark.parametrize("max_bytes", [1, 400, 10_000, 10**9])
@pytest.mark.parametrize("num_runs", [1, 2])
def test_chunks_do_not_show(wrong_posterior, x, max_bytes, num_runs):
    model, noise = replicas(wrong_posterior, num_runs), Noise((1, 2)[:num_runs])
    whole = bounds(model, x, noise, num_samples=11)
    chunked = bounds(model, x, noise, num_samples=11, max_bytes=max_bytes)
    torch.testing.assert_close(vars(whole), vars(chunked), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_many_samples_lose_no_digits():
    """What 4000 chunks of one sample add up to is what float64 makes of the same terms."""
    model, images, noise = mlp_stack(1)
    computed = bounds(model, images[:1], noise, num_samples=4000, max_bytes=1)
    terms = compute_terms(model, images[None, :1], noise, num_samples=4000, wanted="log_qz_x")
    expected = math.log(4000) - torch.logsumexp(terms.log_w.double(), 0)
    assert float(computed.nll) == pytest.approx(float(expected), rel=3e-7)
    assert float(computed.distortion) == pytest.approx(
        -float(terms.log_px_z.double().mean()), rel=3e-7
    )


def test_an_image_is_encoded_once_and_a_sample_decoded_once(wrong_posterior, x):
    """But for the one row of each call that tells how large a row is."""
    encoded, decoded = [], []
    wrong_posterior.encoder.register_forward_hook(lambda m, i, out: encoded.append(out.shape[1]))
    wrong_posterior.decoder.register_forward_hook(lambda m, i, out: decoded.append(out.shape[1]))
    bounds(wrong_posterior, x, NOISE, num_samples=50, max_bytes=4000)
    assert sum(encoded) == 1 + N
    assert sum(decoded) == 1 + N * 50
    assert len(decoded) > 20


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("num_runs", [1, 8])
def test_memory_does_not_grow_with_the_samples(num_runs):
    model, images, noise = mlp_stack(num_runs)
    of_weights = sum(p.nbytes for p in model.parameters())
    peaks = {
        num_samples: peak_of(lambda n=num_samples: bounds(model, images, noise, num_samples=n))
        for num_samples in (1000, 5000)
    }
    assert peaks[5000] <= 1.01 * peaks[1000]
    assert peaks[5000] < 1.3 * CACHE_BYTES + 1.2 * of_weights < 2**31


class Widened(nn.Module):
    """A decoder through maps far wider than its parameters, as convolutions make them."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, z):
        return self.decoder(z) + z.mean(-1, keepdim=True).repeat(1, 1, 100_000).mean(-1)[..., None]


@pytest.mark.parametrize("max_bytes", [2**22, 2**25])
def test_a_chunk_holds_what_it_may_whatever_is_widest(wrong_posterior, x, max_bytes):
    wrong_posterior.decoder = Widened(wrong_posterior.decoder)
    peak = peak_of(lambda: bounds(wrong_posterior, x, NOISE, num_samples=100, max_bytes=max_bytes))
    assert 0.7 * max_bytes < peak < 1.1 * max_bytes


def test_a_prior_may_be_what_is_widest():
    """Five components of 50 dimensions for each code, beside 7 pixels."""
    model = model_of("diagonal_gaussian", "mixture_of_gaussians", dim=50)
    images = (uniforms(Noise((5,)), 4, 7)[0] < 0.4).double()
    noise = Noise(tuple(range(3)))
    peak = peak_of(lambda: bounds(model, images, noise, num_samples=2000, max_bytes=2**20))
    assert 0.5 * 2**20 < peak < 1.3 * 2**20


def test_images_of_the_prior_come_in_chunks_too(wrong_posterior):
    wrong_posterior.decoder = Widened(wrong_posterior.decoder)
    computed = []
    peak = peak_of(lambda: computed.append(prior_means(wrong_posterior, NOISE, 300)))
    assert computed[0].shape == (1, 300, 5)
    assert peak < 1.2 * CACHE_BYTES


def test_rows_within_are_at_least_one():
    assert rows_within(10_000, lambda: torch.zeros(100)) == 25
    assert rows_within(1, lambda: torch.zeros(100)) == 1
    assert rows_within(10, lambda: None) == 10


FAULTS = """
import resource

import torch

import tests.conftest  # one thread, as here
from tests.evaluation.test_chunks import bounds, mlp_stack

model, images, noise = mlp_stack(1)
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bounds(model, images, noise, num_samples=5000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_chunks_take_the_memory_of_those_before():
    """In a process of its own, as what was freed before decides. Otherwise there are thousands."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 200
