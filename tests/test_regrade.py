"""Grading again from the weights: the same figures at the same K, tighter ones at a larger."""

import msgspec
import pytest
from conftest import tiny

from vaebench import results
from vaebench.errors import InputError
from vaebench.harness import train_all
from vaebench.regrade import regrade
from vaebench.study import resolve


@pytest.fixture
def folder(tmp_path):
    configs = [
        *(tiny(seed=i) for i in range(2)),
        tiny(likelihood="gaussian_learned", data={"name": "digits"}),
        tiny(likelihood="gaussian_optimal", data={"name": "digits", "dequantise": True}),
        tiny(objective="elbo_mc", posterior="iaf", prior="vamp"),
        tiny(posterior="gumbel_softmax", prior="learned_categorical"),
        tiny(train={"num_steps": 60, "batch_size": 16, "learning_rate": 1e30}),
    ]
    train_all(resolve(configs), tmp_path, "s", executor="inline")
    return tmp_path


def figures(rows, name):
    return {row["run"]: row["value"] for row in rows if row["metric"] == name}


def recorded(folder, name):
    rows = results.load(folder)
    return rows[rows["metric"] == name].set_index("run")["value"].to_dict()


def test_the_same_samples_give_the_recorded_figures(folder):
    rows = regrade(folder)
    for name in ("nll", "elbo", "frechet", "valid_nll"):
        assert figures(rows, name) == pytest.approx(recorded(folder, name), rel=1e-5)
    assert len(figures(rows, "nll")) == 6


def test_more_samples_tighten_the_bound(folder):
    few, many = figures(regrade(folder), "nll"), figures(regrade(folder, (), 500), "nll")
    assert all(many[run] < few[run] for run in few)


def test_one_run_by_its_id(folder):
    run = min(recorded(folder, "nll"))
    assert set(figures(regrade(folder, [run]), "nll")) == {run}


def test_what_is_missing_is_said(folder, tmp_path):
    with pytest.raises(InputError, match="no finished run 'x'"):
        regrade(folder, ["x"])
    with pytest.raises(InputError, match="at least one sample"):
        regrade(folder, (), 0)
    with pytest.raises(InputError, match="run a study first"):
        regrade(tmp_path / "empty")
    for path in (folder / "weights").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="must hold the run's weights"):
        regrade(folder)


def test_changed_data_are_refused(folder):
    for record in list(results.records(folder)):
        data = {**record.config["data"], "fingerprint": "0" * 16}
        changed = msgspec.structs.replace(record, config={**record.config, "data": data})
        results.write(folder, changed)
    with pytest.raises(InputError, match="must have fingerprint 0000"):
        regrade(folder)
