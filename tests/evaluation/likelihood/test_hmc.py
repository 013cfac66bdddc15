"""Hamiltonian Monte Carlo: it leaves its law as it is, runs backwards, and errs by the square."""

import math

import pytest
import torch

from tests.support.families import within_error
from vaebench.core.errors import InputError
from vaebench.evaluation.likelihood.hmc import Point, Target, leapfrog, point_at, transition
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

K, S, B, D = 20_000, 2, 1, 2
NOISE = Noise((4, 5))
PRECISION = torch.tensor([3.0, 8.0], dtype=torch.float64)
CENTRE = torch.tensor([1.0, -0.5], dtype=torch.float64)
TEMPERATURE = 0.6
GAUSSIAN = Target(
    densities.standard_normal_log_prob,
    lambda z: -0.5 * (PRECISION * (z - CENTRE).square()).sum(-1),
)
"""At temperature t a Gaussian of precision 1 + t PRECISION."""


def law(temperature=TEMPERATURE):
    """Mean and standard deviation of each dimension."""
    precision = 1.0 + temperature * PRECISION
    return temperature * PRECISION * CENTRE / precision, precision.rsqrt()


def exact_samples(num=K, step=100):
    mean, deviation = law()
    return mean + deviation * normals(NOISE.at(step=step), num, B, D).double()


def moved(z, step, *, target=GAUSSIAN, noise=NOISE, num_leapfrog=3):
    steps = torch.full(z.shape[1:3], step, dtype=z.dtype)
    return transition(target, point_at(target, z), TEMPERATURE, steps, num_leapfrog, noise)


# ------------------------------------------------------------------ the kernel


@pytest.mark.parametrize("step", [0.2, 0.75])
def test_a_gaussian_is_left_as_it_is(step):
    """Mean, variance, fourth moment and covariance of 20,000 chains, to 4.5 standard errors."""
    mean, deviation = law()
    point, chance = moved(exact_samples(), step)
    if step > 0.5:
        assert 0.4 < float(chance.mean()) < 0.9  # so that rejections matter
    u = (point.z - mean) / deviation
    assert within_error(u, 0.0)
    assert within_error(u.square(), 1.0)
    assert within_error(u.square().square(), 3.0)
    assert within_error(u[..., 0] * u[..., 1], 0.0)


def test_chains_from_elsewhere_come_to_the_law():
    point = point_at(GAUSSIAN, torch.full((2000, S, B, D), 4.0, dtype=torch.float64))
    steps = torch.full((S, B), 0.3, dtype=torch.float64)
    for i in range(60):
        point, _ = transition(GAUSSIAN, point, TEMPERATURE, steps, 3, NOISE.at(step=2 * i))
    mean, deviation = law()
    assert within_error(point.z, mean)
    assert within_error((point.z - mean).square(), deviation.square())


def test_what_is_known_of_a_point_is_what_is_there():
    """It is so for chains that moved, and for chains that did not."""
    point, chance = moved(exact_samples(50), 0.75)
    assert (point.z != exact_samples(50)).any() and (point.z == exact_samples(50)).any()
    for known, there in zip(point, point_at(GAUSSIAN, point.z), strict=True):
        torch.testing.assert_close(known, there)
    assert ((chance >= 0) & (chance <= 1)).all()
    torch.testing.assert_close(point.dlog_px_z, -PRECISION * (point.z - CENTRE))
    torch.testing.assert_close(point.dlog_pz, -point.z)


def test_a_chain_of_one_run_does_not_know_the_others():
    both, _ = moved(exact_samples(7), 0.4)
    for run in range(S):
        alone, _ = moved(exact_samples(7)[:, [run]], 0.4, noise=Noise(NOISE.keys[run : run + 1]))
        torch.testing.assert_close(both.z[:, [run]], alone.z, rtol=0, atol=0)


# ------------------------------------------------------------------ the trajectory


def energy(point, momentum):
    return 0.5 * momentum.square().sum(-1) - point.log_density(TEMPERATURE)


def anharmonic():
    """Quartic in places, so that the force is not linear."""
    return Target(
        densities.standard_normal_log_prob, lambda z: -z.square().square().sum(-1) + z.sum(-1)
    )


def test_a_trajectory_runs_backwards():
    start = point_at(anharmonic(), exact_samples(20))
    momentum = normals(NOISE, 20, B, D).double()
    end, ended = leapfrog(anharmonic(), start, momentum, TEMPERATURE, torch.tensor(0.1), 12)
    back, turned = leapfrog(anharmonic(), end, -ended, TEMPERATURE, torch.tensor(0.1), 12)
    assert (end.z - start.z).abs().mean() > 0.1
    torch.testing.assert_close(back.z, start.z, rtol=0, atol=1e-11)
    torch.testing.assert_close(turned, -momentum, rtol=0, atol=1e-11)


def test_the_energy_error_falls_with_the_square_of_the_step():
    start, momentum = point_at(anharmonic(), exact_samples(500)), normals(NOISE, 500, B, D).double()
    errors = []
    for num in (20, 40, 80):
        step = torch.tensor(1.0 / num, dtype=torch.float64)
        computed = leapfrog(anharmonic(), start, momentum, TEMPERATURE, step, num)
        errors.append(float((energy(*computed) - energy(start, momentum)).abs().mean()))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.02)


# ------------------------------------------------------------------ where a density ends


@pytest.mark.parametrize("beyond", [math.nan, -math.inf, math.inf])
def test_chains_do_not_go_where_the_density_is_no_number(beyond):
    walled = Target(
        GAUSSIAN.log_prior,
        lambda z: torch.where(z[..., 0] > 1.0, beyond, GAUSSIAN.log_likelihood(z)),
    )
    z = exact_samples(2000)
    z = torch.where(z[..., :1] > 1.0, 0.5, z)
    point, chance = moved(z, 0.5, target=walled)
    assert (point.z[..., 0] <= 1.0).all()
    assert all(values.isfinite().all() for values in (*point, chance))
    assert (chance == 0).any() and (chance > 0.5).any()


def test_chains_do_not_go_where_the_gradient_is_no_number():
    """The density is finite there, as behind a root that a mask has cut off."""

    def masked_root(z):
        return torch.where(z[..., 0] > 1.0, 0.0, (1.0 - z[..., 0]).sqrt())

    masked = Target(GAUSSIAN.log_prior, lambda z: GAUSSIAN.log_likelihood(z) + 0.0 * masked_root(z))
    z = torch.where(exact_samples(2000) > 0.9, 0.5, exact_samples(2000))
    point, chance = moved(z, 0.5, target=masked)
    assert (point.z[..., 0] <= 1.0).all()
    assert all(values.isfinite().all() for values in (*point, chance))
    assert (chance == 0).any() and (chance > 0.5).any()


@pytest.mark.parametrize("part", [0, 1])
def test_a_density_without_gradient_is_named(part):
    parts = list(GAUSSIAN)
    parts[part] = lambda z: GAUSSIAN[part](z.detach())
    with pytest.raises(InputError, match=r"follows the gradient of log p\((z|x\|z)\) in z"):
        point_at(Target(*parts), exact_samples(3))


def test_points_hold_no_graph():
    assert not any(values.requires_grad for values in point_at(GAUSSIAN, exact_samples(3)))
    assert len(Point._fields) == 5
