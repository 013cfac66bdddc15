"""Arrays in Python as data of runs."""

import numpy as np
import pytest

import vaebench as vb
from tests.support.runs import tiny
from vaebench.config.build import load_data
from vaebench.core.errors import InputError

X = np.random.default_rng(0).poisson(4.0, (60, 5))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_arrays_train_by_a_study_and_by_configurations(tmp_path):
    data = vb.dataset(X[:40], X[40:], name="cells", values="counts")
    assert np.array_equal(load_data(data).test.x.numpy(), X[40:])
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[base]\nobjective = "elbo"\nlikelihood = "poisson"\n'
        'data.name = "digits"\nmodel = { latent_dim = 2, widths = [8] }\n'
        "train = { num_steps = 3, batch_size = 8 }\n"
        "evaluate = { num_samples = 2, num_images = 10 }\n"
    )
    more = {"data": data, "executor": "inline", "compiles": "never", "timings": False}
    rows = vb.run(tmp_path / "mine.toml", tmp_path / "out", **more)
    assert set(rows["dataset"]) == {"cells"}
    assert rows.loc[rows["metric"] == "nll", "value"].notna().all()
    config = tiny(likelihood="poisson", data={"name": "counts"})
    again = vb.run([config], tmp_path / "configs", **more)
    assert set(again["dataset"]) == {"cells"}


def test_the_same_arrays_are_written_once_and_others_elsewhere(tmp_path):
    first, second = (vb.dataset(X, name="a", test_fraction=0.2) for _ in range(2))
    assert first == second
    assert vb.dataset(X + 1, name="a", test_fraction=0.2) != first
    placed = vb.dataset(X, name="a", folder=tmp_path / "mine", test_fraction=0.2)
    assert placed.name == str(tmp_path / "mine" / "a")
    assert placed.label == first.label == "a"
    with pytest.raises(InputError, match="holds other arrays: give another name or folder"):
        vb.dataset(X + 1, name="a", folder=tmp_path / "mine", test_fraction=0.2)


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ((X,), {"name": "a/b"}, "name must be letters, digits, _ and -, as it is a folder's"),
        ((X,), {"valuse": "counts"}, "valuse.*values"),
        (("mine.npz",), {}, r"x_train must be an array \[N, ...\]; got 'mine.npz'"),
        ((np.array([None]),), {}, "x_train must be an array of numbers of one shape; got Python"),
    ],
)
def test_what_is_no_data_is_one_line(arrays, settings, message):
    with pytest.raises(InputError, match=message):
        vb.dataset(*arrays, **settings)


def test_arrays_of_unequal_width_are_one_line():
    with pytest.raises(
        InputError, match=r"x_test must have images of one shape; got \(4,\) beside"
    ):
        load_data(vb.dataset(X[:40], X[40:, :4], values="counts"))


def test_an_axis_of_data_and_arrays_are_one_line(tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[axes]\n"data.name" = ["digits"]\n')
    with pytest.raises(InputError, match="data are given, and the study's axes set data too"):
        vb.run(tmp_path / "mine.toml", tmp_path / "out", data=vb.DataConfig())
    with pytest.raises(
        InputError, match=r"data must be a DataConfig; got array.*: write vb.dataset"
    ):
        vb.run(tmp_path / "mine.toml", tmp_path / "out", data=X)
