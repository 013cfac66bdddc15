"""The generated shapes, whose factors of variation are known, and factors in a user's file."""

import numpy as np
import pytest
import torch

from vaebench.core.errors import InputError
from vaebench.data import load, lookup
from vaebench.data.shapes import DEGREES, FACTORS, PLACES, SCALES, SIDE, rendered, shapes

SIZES = tuple(FACTORS.values())


@pytest.fixture(scope="module")
def grid():
    """Grey in [0, 1], an axis for each factor: [3, 4, 5, 8, 8, 16, 16]."""
    return rendered().reshape(*SIZES, SIDE, SIDE) / 255.0


def centres(images):
    """Centres of mass, across and down, in pixels: [..., 16, 16] -> two [...]."""
    at, mass = np.arange(SIDE) + 0.5, images.sum((-1, -2))
    return (images.sum(-2) @ at) / mass, (images.sum(-1) @ at) / mass


# ------------------------------------------------------------------ the whole


def test_every_combination_is_there_once():
    parts = shapes().parts
    factors = np.concatenate([parts["factors_train"], parts["factors_test"]])
    images = np.concatenate([parts["x_train"], parts["x_test"]])
    places = np.ravel_multi_index(tuple(factors.T), SIZES)
    assert sorted(places) == list(range(np.prod(SIZES)))
    assert np.array_equal(images[np.argsort(places)], rendered())
    assert len(parts["x_test"]) == 768
    for name in ("train", "test"):
        assert np.array_equal(parts[f"y_{name}"], parts[f"factors_{name}"][:, 0])


def test_no_two_images_are_the_same():
    flat = rendered().reshape(-1, SIDE * SIDE)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_it_is_made_alike_each_time():
    assert load("shapes", "none").fingerprint == load("shapes", "none", None, 1).fingerprint
    first, again = shapes().parts, shapes().parts
    assert all(np.array_equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("last_digits", [1e-9, -1e-9])
def test_the_last_digits_of_a_cosine_do_not_show(last_digits):
    """No point lies so near an outline that another machine's cosine would move it across."""
    assert np.array_equal(rendered(tuple(d + last_digits for d in DEGREES)), rendered())


def test_it_is_a_data_set_by_name():
    data = load("shapes", "none")
    assert "shapes" in lookup.NAMES
    assert data.image_shape == (16, 16)
    assert data.label == "shapes"
    assert [len(part.x) for part in (data.train, data.valid, data.test)] == [2560, 512, 768]
    assert torch.equal(data.observe("test"), data.test.x)
    assert set(load("shapes", "dynamic").observe("train").unique().tolist()) == {0.0, 1.0}
    with pytest.raises(InputError, match="did you mean 'shapes'"):
        load("shape", "none")


def test_factors_stay_with_their_images_through_the_split():
    data, whole = load("shapes", "none", 0.3, 7), rendered().reshape(-1, SIDE * SIDE)
    for part in (data.train, data.valid, data.test):
        assert part.factors.dtype == torch.int64
        places = np.ravel_multi_index(tuple(part.factors.T.numpy()), SIZES)
        assert np.array_equal((255 * part.x).round().numpy(), whole[places])
        assert torch.equal(part.y, part.factors[:, 0])


# ------------------------------------------------------------------ each factor


def test_places_are_those_of_the_centre(grid):
    """Squares and ellipses are symmetric about it; to half of the way between two points."""
    across, down = centres(grid[:2])
    expected = np.array(PLACES)
    for error in (np.abs(across - expected[:, None]), np.abs(down - expected)):
        assert error.max() < 0.125
        assert error.mean() < 0.02


def test_no_place_cuts_an_image_off(grid):
    """A look has the same mass in the corners as elsewhere, to the row of points that an upright
    square wins or loses by its place: 0.25 of 4 pixels for the smallest.
    """
    mass = grid.sum((-1, -2))
    corners = mass[..., [0, 0, -1, -1], [0, -1, 0, -1]].mean(-1)
    change = corners / mass.mean((-1, -2)) - 1.0
    assert np.abs(change).max() < 0.0625
    assert np.abs(change[:, :, [0, 1, 3, 4]]).max() < 0.02


def test_mass_is_the_area_of_the_shape(grid):
    """Square of side 1.6 and ellipse of half-axes 1.1 and 0.65, in units of the scale."""
    mass = grid.sum((-1, -2)).mean((-1, -2, -3))  # [3, 4]
    units = np.square(SCALES)
    np.testing.assert_allclose(mass[0], 2.56 * units, rtol=0.01)
    np.testing.assert_allclose(mass[1], np.pi * 1.1 * 0.65 * units, rtol=0.01)
    assert (np.diff(mass, axis=1) > 1.0).all()


def test_orientation_is_that_of_the_longer_axis_of_the_ellipse(grid):
    """From second moments about the place: half the angle of (xx - yy, 2 xy). To 4 degrees."""
    at, places = np.arange(SIDE) + 0.5, np.array(PLACES)
    away = at - places[:, None]
    images = grid[1]  # [4, 5, 8, 8, 16, 16]
    xx = np.einsum("soijrc,ic,ic->soij", images, away, away)
    yy = np.einsum("soijrc,jr,jr->soij", images, away, away)
    xy = np.einsum("soijrc,ic,jr->soij", images, away, away)
    degrees = np.degrees(0.5 * np.arctan2(2.0 * xy, xx - yy))
    error = np.abs(degrees - np.array(DEGREES)[:, None, None])
    assert error.max() < 4.0
    assert error.mean() < 1.0


def test_orientations_are_in_line_though_shapes_have_symmetries(grid):
    """A square turned by 90 degrees is itself; the ends of the range are not neighbours."""
    between = np.square(grid[:, :, :, None] - grid[:, :, None]).sum((-1, -2)).mean((-1, -2))
    steps = between[:, :, range(4), range(1, 5)]  # [3, 4, 4]
    assert (between[:, :, 0, 4] > 1.2 * steps.max(-1)).all()
    turned = rendered(tuple(d + 90.0 for d in DEGREES)).reshape(*SIZES, SIDE, SIDE) / 255.0
    assert np.abs(turned[0] - grid[0]).mean() < 1e-3
    assert np.abs(turned[1:] - grid[1:]).mean() > 0.02


def test_shapes_differ_by_more_than_size_or_angle(grid):
    """No image of a shape is nearest to one of another shape that differs in nothing else."""
    middle = grid[:, :, :, 3, 4].reshape(3, -1, SIDE * SIDE)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        distance = np.square(middle[one][:, None] - middle[other]).sum(-1)
        assert distance.min() > 0.5


# ------------------------------------------------------------------ factors in a user's file


def saved(folder, **changes):
    images = np.linspace(0.0, 1.0, 30 * 16, dtype=np.float32).reshape(30, 4, 4)
    factors = np.stack([np.arange(30) % 3, np.arange(30) // 3], -1)
    arrays = {
        "x_train": images[:20], "factors_train": factors[:20],
        "x_test": images[20:], "factors_test": factors[20:],
    }  # fmt: skip
    kept = {name: value for name, value in (arrays | changes).items() if value is not None}
    np.savez(folder / "mine.npz", **kept)
    return str(folder / "mine.npz")


def test_factors_of_a_file_are_read_and_change_its_fingerprint(tmp_path):
    data = load(saved(tmp_path), "none")
    assert data.train.y is None
    assert data.test.factors.tolist() == [[i % 3, i // 3] for i in range(20, 30)]
    without = load(saved(tmp_path, factors_train=None, factors_test=None), "none")
    assert without.train.factors is without.test.factors is None
    assert without.fingerprint != data.fingerprint


def test_a_part_of_its_own_for_validation_has_its_factors(tmp_path):
    valid = {
        "x_valid": np.eye(4, dtype=np.float32)[None].repeat(4, 0),
        "factors_valid": np.ones((4, 2), np.uint8),
    }
    data = load(saved(tmp_path, **valid), "none")
    assert data.valid.factors.tolist() == [[1, 1]] * 4


def test_data_without_factors_has_none():
    assert load("digits", "none").train.factors is None


BAD = {
    "one axis": ("factors_train", np.zeros(20, int), r"integers \[N, F\], a row of F factors"),
    "no factors": ("factors_train", np.zeros((20, 0), int), r"integers \[N, F\]"),
    "floats": ("factors_test", np.zeros((10, 2)), "got float64 of shape"),
    "negative": ("factors_test", np.full((10, 2), -1), "classes from 0 to 9999; got -1 to -1"),
    "rows": ("factors_train", np.zeros((19, 2), int), "one row per image; got 19 for 20"),
    "orphans": ("factors_valid", np.zeros((3, 2), int), "one row per image; got 3 for none"),
    "columns": ("factors_test", np.zeros((10, 3), int), r"as many factors .* got \[2, 3\]"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_factors_are_named(tmp_path, fault):
    name, value, message = BAD[fault]
    with pytest.raises(InputError, match=rf"mine.npz: factors_\w+ must .*{message}"):
        load(saved(tmp_path, **{name: value}), "none")
