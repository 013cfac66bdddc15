"""Precision, recall, density and coverage by brute force, and their intervals."""

import math

import pytest
import torch

from tests.support.features import normals
from vaebench.data import Images
from vaebench.evaluation.samples.fidelity import balls, compared
from vaebench.evaluation.samples.intervals import Z, share
from vaebench.evaluation.samples.memorised import copies

METRICS = "precision", "recall", "density", "coverage"


def grid(num, seed):
    """Whole numbers: many ties and duplicates, and distances without rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, (num, 2), generator=generator).double()


def computed(real, ours, k):
    return {n: float(e.value) for n, e in compared(balls(real, k), balls(ours, k)).items()}


def by_brute_force(real, ours, k):
    """The published definitions, point by point; balls are closed."""

    def radius(i, rows):
        others = [float((rows[i] - x).square().sum()) for j, x in enumerate(rows) if j != i]
        return sorted(others)[k - 1]

    def inside(x, i, rows):
        return float((rows[i] - x).square().sum()) <= radius(i, rows)

    def manifold(points, rows):
        return sum(any(inside(x, i, rows) for i in range(len(rows))) for x in points) / len(points)

    in_balls = [[inside(y, i, real) for y in ours] for i in range(len(real))]
    return {
        "precision": manifold(ours, real),
        "recall": manifold(real, ours),
        "density": sum(map(sum, in_balls)) / (k * len(ours)),
        "coverage": sum(map(any, in_balls)) / len(real),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_four_are_the_published_definitions(k, seed):
    real, ours = normals(12, 3, seed=seed), 1.2 * normals(17, 3, seed=seed + 50) + 0.3
    assert computed(real, ours, k) == pytest.approx(by_brute_force(real, ours, k), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_points_on_a_sphere_are_inside_also_after_rounding(k, seed):
    """On a grid, and on the same grid moved to where no distance is a whole number."""
    real, ours = grid(9, seed), grid(14, seed + 50)
    expected = by_brute_force(real, ours, k)
    turn = torch.linalg.qr(normals(2, 2, seed=9)).Q
    assert computed(real, ours, k) == pytest.approx(expected, rel=1e-12)
    assert computed(real @ turn + 0.1, ours @ turn + 0.1, k) == pytest.approx(expected, rel=1e-12)


def test_known_answers():
    """One image in the middle of one of two clusters, k = 1."""
    real = torch.tensor([[0.0], [1.0], [10.0], [11.0]]).double()
    ours = torch.tensor([[0.5], [0.5], [0.5]]).double()
    expected = {"precision": 1.0, "recall": 0.0, "density": 2.0, "coverage": 0.5}
    assert computed(real, ours, 1) == expected


def test_a_model_that_always_gives_one_image():
    real = normals(30, 4)
    assert computed(real, real[:1].expand(20, 4), 3)["recall"] == pytest.approx(1 / 30)
    assert computed(real, real[:1].expand(20, 4), 3)["precision"] == 1.0
    assert computed(real[:1].expand(20, 4), real[:1].expand(20, 4), 3)["coverage"] == 1.0


def test_equal_distributions_have_the_density_and_coverage_known():
    """Naeem et al. 2020, lemma 2 and before it: 1, and 1 - C(2n - k - 1, n) / C(2n - 1, n).

    The n - 1 own and n other images around each centre are in random order; 4 standard errors.
    """
    num, k = 60, 5
    each = [
        computed(normals(num, 3, seed=2 * i), normals(num, 3, seed=2 * i + 1), k)
        for i in range(300)
    ]
    coverage = 1 - math.comb(2 * num - 1 - k, num) / math.comb(2 * num - 1, num)
    for name, expected in (("density", 1.0), ("coverage", coverage)):
        values = torch.tensor([one[name] for one in each], dtype=torch.float64)
        error = float(values.std()) / math.sqrt(len(values))
        assert abs(float(values.mean()) - expected) < 4 * error, name


def test_chunks_do_not_show(monkeypatch):
    real, ours, images = normals(40, 3), normals(50, 3, seed=1), normals(20, 8, seed=2)
    train = torch.cat([normals(30, 8, seed=3), images[:7] + 1e-3])
    whole, copied = computed(real, ours, 3), copies(images, Images(train, dtype=train.dtype))
    for max_bytes in (1, 3000):
        monkeypatch.setattr("vaebench.evaluation.samples.neighbours.CACHE_BYTES", max_bytes)
        assert computed(real, ours, 3) == whole
        assert torch.equal(copies(images, Images(train, dtype=train.dtype)), copied)


def without(rows, i):
    return torch.cat([rows[:i], rows[i + 1 :]])


def left_out(real, ours, k):
    """By the published definitions, each image of either set left out: the jackknife's variance."""
    kinds = (
        [by_brute_force(without(real, i), ours, k) for i in range(len(real))],
        [by_brute_force(real, without(ours, i), k) for i in range(len(ours))],
    )
    values = [{n: torch.tensor([one[n] for one in kind]) for n in METRICS} for kind in kinds]
    return {
        n: float(sum((len(v[n]) - 1) * v[n].var(correction=0) for v in values)) for n in METRICS
    }


@pytest.mark.parametrize(("k", "seed"), [(1, 0), (2, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("draw", [normals, lambda num, _, seed: grid(num, seed)])
def test_intervals_are_those_of_each_image_left_out(k, seed, draw):
    """Also with ties and duplicates. Density's ends are the value and a margin, but at 0; those of
    shares are Wilson's, for as many independent images as have the variance.
    """
    real, ours = draw(8, 2, seed=seed), draw(10, 2, seed=seed + 50)
    estimates = compared(balls(real, k), balls(ours, k))
    expected = left_out(real, ours, k)
    density = estimates.pop("density")
    assert expected["density"] > 0
    assert float(density.high - density.value) == pytest.approx(Z * expected["density"] ** 0.5)
    for name, computed in estimates.items():
        wilson = share(computed.parts, torch.tensor([expected[name]]).double())
        assert float(computed.low) == pytest.approx(float(wilson.low), rel=1e-5), name
        assert float(computed.high) == pytest.approx(float(wilson.high), rel=1e-5), name


SETS = {"alike": (1.0, 0.0), "wider": (1.3, 0.2), "narrower": (0.7, 0.0)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize(("num_real", "num_ours", "dim"), [(40, 110, 8), (110, 40, 3)])
def test_intervals_cover(kind, num_real, num_ours, dim):
    """Over 300 pairs of sets the mean of the value: 95% or more, with a standard error of 1.3%.

    More, as on average the jackknife's variance is too large (Efron & Stein 1981), though for
    density, the sum of few parts, by little.
    """
    (scale, shift), k = SETS[kind], 4
    each = [
        compared(
            balls(normals(num_real, dim, seed=2 * i), k),
            balls(scale * normals(num_ours, dim, seed=2 * i + 1) + shift, k),
        )
        for i in range(300)
    ]
    for name in METRICS:
        low, value, high = (
            torch.cat([getattr(e[name], end) for e in each]) for end in ("low", "value", "high")
        )
        covered = (low <= value.mean()) & (value.mean() <= high)
        assert float(covered.double().mean()) > 0.92, name
        margin = float((high - low).mean()) / (2 * Z)
        assert margin < (2.2 * float(value.std()) if name == "density" else 0.2), name
