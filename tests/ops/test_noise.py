"""Noise is a function of its counters, and the numbers are those of Philox4x32-10."""

import numpy as np
import pytest
import torch
from scipy import stats

from vaebench.ops import c, noise
from vaebench.ops.noise import Noise, gumbels, key, normals, permutations, philox, uniform, uniforms

KEYS = tuple(key(seed, "test") for seed in range(3))
FIRSTS = [
    {"step": 0},
    {"step": 2**31 + 5, "first_sample": 3, "first_row": 11},
    {"step": 2**32 - 1, "first_sample": 2**31 - 1, "first_row": 2**31 - 2},
    {"step": 2**31 - 1, "first_sample": 2**32 - 5, "first_row": 2**32 - 40},
]
SHAPES = [(1, 1, 1), (4, 37, 20), (2, 3, 7), (3, 5, 2), (2, 3, 1030), (1, 40, 64)]  # K, B, D


def in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "_loaded", lambda: (None, "numpy was asked for"))


@pytest.fixture(autouse=True, params=["native", "numpy"])
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds for both makers of the numbers."""
    if request.param == "numpy":
        in_numpy(monkeypatch)
    elif c.problem():
        pytest.skip(c.problem())


def exact(
    noise: Noise, num_samples: int, num_rows: int, num_columns: int
) -> tuple[torch.Tensor, ...]:
    """Uniforms of the Philox words, and of these Box-Muller in float64: [K, S, B, D] each."""
    axes = np.ix_(range(num_samples), range(3), range(num_rows), range(-(-num_columns // 4)))
    sample, run, row, quad = (axis.astype(np.uint64) for axis in axes)
    counter = (
        quad,
        row + np.uint64(noise.first_row),
        sample + np.uint64(noise.first_sample),
        np.full((1, 1, 1, 1), noise.step, dtype=np.uint64),
    )
    words = philox(np.array(noise.keys, dtype=np.uint64)[run.astype(np.int64)], counter)
    flat = [torch.from_numpy(uniform(w)) for w in words]
    lanes = []
    for u, v in (flat[:2], flat[2:]):
        radius = (-2.0 * u.clamp_min(1e-7).double().log()).sqrt()
        angle = 2.0 * torch.pi * v.double()
        lanes += [radius * angle.cos(), radius * angle.sin()]
    return tuple(torch.stack(kind, -1).flatten(-2)[..., :num_columns] for kind in (flat, lanes))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("first", FIRSTS, ids=str)
def test_numbers_are_those_of_the_words(first, shape):
    noise = Noise(KEYS, **first)
    want_uniforms, want_normals = exact(noise, *shape)
    got = normals(noise, *shape)
    assert got.dtype == torch.float32 and got.shape == want_normals.shape
    # float32 keeps an angle of pi to 1e-7, and a radius of 5.68 takes that times 6
    torch.testing.assert_close(got.double(), want_normals, rtol=0, atol=1e-6)
    one_sample = uniforms(noise, *shape[1:])
    assert torch.equal(one_sample, want_uniforms[0])


@pytest.mark.skipif(bool(c.problem()), reason=c.problem())
def test_makers_agree(monkeypatch):
    noise = Noise(KEYS, step=7)
    drawn = normals(noise, 4, 50, 41), uniforms(noise, 50, 41), gumbels(noise, 4, 50, 41)
    in_numpy(monkeypatch)
    torch.testing.assert_close(drawn[0], normals(noise, 4, 50, 41), rtol=0, atol=2e-6)
    assert torch.equal(drawn[1], uniforms(noise, 50, 41))
    assert torch.equal(drawn[2], gumbels(noise, 4, 50, 41))


@pytest.mark.parametrize(
    ("counter", "key_words", "expected"),
    [
        # The known answers published with Random123 (Salmon et al. 2011), philox4x32 10.
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key_words, expected):
    low, high = key_words
    words = philox(
        np.array([low | high << 32], dtype=np.uint64),
        tuple(np.array([c], dtype=np.uint64) for c in counter),
    )
    assert tuple(int(w[0]) for w in words) == expected


def test_a_number_depends_on_its_counters_alone():
    whole = normals(Noise(KEYS, step=5), 4, 6, 7)
    assert whole.shape == (4, 3, 6, 7)
    alone = normals(Noise(KEYS[1:2], step=5), 4, 6, 7)
    later = normals(Noise(KEYS, step=5).at(sample=2).at(row=3), 2, 3, 7)
    narrow = normals(Noise(KEYS, step=5), 4, 6, 3)
    assert torch.equal(alone, whole[:, 1:2])
    assert torch.equal(later, whole[2:, :, 3:])
    assert torch.equal(narrow, whole[..., :3])


@pytest.mark.parametrize("step", [0, 1, 63, 64, 1000, 2**31 + 5])
def test_blocks_of_steps_do_not_show(step):
    big = normals(Noise(KEYS, step=step), 100, 40, 8)  # its block is one step long
    small = normals(Noise(KEYS, step=step), 1, 2, 8)
    assert torch.equal(small, big[:1, :, :2])


def test_normals_are_standard_normal():
    draws = normals(Noise((key("normality"),)), 50, 200, 8).flatten().numpy()
    assert stats.kstest(draws, "norm").pvalue > 1e-3
    assert np.abs(draws).max() < 5.68


@pytest.mark.parametrize("axis", ["keys", "step", "first_sample", "first_row"])
def test_streams_do_not_repeat_along_any_axis(axis):
    moved = {"keys": (key(1, "other"),), "step": 1, "first_sample": 1, "first_row": 1}[axis]
    here = normals(Noise((key(0, "other"),)), 1, 1, 4000).flatten()
    there = normals(Noise(**{"keys": (key(0, "other"),), axis: moved}), 1, 1, 4000).flatten()
    correlation = float(torch.corrcoef(torch.stack([here, there]))[0, 1])
    assert abs(correlation) < 4.5 / 4000**0.5


def test_uniforms_are_uniform():
    draws = uniforms(Noise(KEYS), 50, 41)
    assert draws.shape == (3, 50, 41)
    assert stats.kstest(draws.flatten().numpy(), "uniform").pvalue > 1e-3
    assert 0 <= draws.min() < draws.max() < 1


def test_gumbels_are_gumbels_and_functions_of_their_counters():
    draws = gumbels(Noise(KEYS, step=5), 4, 50, 41)
    assert draws.shape == (4, 3, 50, 41)
    assert stats.kstest(draws.flatten().numpy(), "gumbel_r").pvalue > 1e-3
    assert torch.equal(gumbels(Noise(KEYS[1:2], step=5), 4, 50, 41), draws[:, 1:2])
    later = gumbels(Noise(KEYS, step=5).at(sample=2).at(row=3), 2, 47, 7)
    assert torch.equal(later, draws[2:, :, 3:, :7])
    assert not torch.equal(gumbels(Noise(KEYS, step=6), 4, 50, 41), draws)


@pytest.mark.parametrize("length", [1, 5, 101, 70_001])
def test_orders_sort_the_words_and_keep_equal_ones_as_they_came(length, monkeypatch):
    words = np.random.default_rng(0).integers(0, 7 * length, (3, length)).astype(np.uint32)
    monkeypatch.setattr(noise, "_row_of_words", lambda where, count: words)
    order = permutations(Noise(KEYS), length)
    assert order.tolist() == np.argsort(words, axis=-1, kind="stable").tolist()


def test_permutations_hold_every_row_once_and_differ_by_run_and_epoch():
    order = permutations(Noise(KEYS), 101)
    assert torch.equal(order.sort(-1).values, torch.arange(101).expand(3, -1))
    assert not torch.equal(order[0], order[1])
    assert not torch.equal(order, permutations(Noise(KEYS, step=1), 101))
    assert torch.equal(order[2], permutations(Noise(KEYS[2:]), 101)[0])
