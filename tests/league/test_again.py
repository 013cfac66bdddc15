"""Graded again from the weights: figures that follow from them agree, and others are refused."""

import io
import re

import msgspec
import numpy as np
import pytest

from tests.support.bundles import bundle_of, changed
from tests.support.runs import tiny
from vaebench import results
from vaebench.config import RunConfig
from vaebench.league import RefusedError, graded_again, opened, submit
from vaebench.league.again import GRADED_AGAIN, SAME
from vaebench.league.submission import AS_SUBMITTED
from vaebench.running.recording import labels


def again(path, tmp_path, **how):
    return graded_again(opened(path, tmp_path / "opened"), tmp_path / "again", **how)


def better(contents, by):
    """A bundle's members whose first run claims a lower NLL, of which its examples are proof."""
    name = min(name for name in contents if name.startswith("runs/"))
    record = msgspec.json.decode(contents[name], type=results.Record)
    metrics = [
        msgspec.structs.replace(m, value=m.value - by) if m.metric == "nll" else m
        for m in record.metrics
    ]
    examples = f"examples/{record.run}.npz"
    with np.load(io.BytesIO(contents[examples])) as stored:
        values = {key: stored[key] for key in stored}
    values["nll"] = values["nll"] - np.asarray(by, values["nll"].dtype)
    forged = {
        name: changed(contents[name], metrics=metrics),
        examples: results.pack_examples(values),
    }
    return record, {**contents, **forged}


def test_honest_figures_come_out_again(bundle, trained, tmp_path):
    submission = again(bundle, tmp_path)
    assert (submission.graded, submission.reason) == (GRADED_AGAIN, "")
    for ours, theirs in zip(submission.records, results.records(trained), strict=True):
        values = {m.metric: m.value for m in theirs.metrics}
        assert {m.metric: m.value for m in ours.metrics} == pytest.approx(values, rel=1e-5)


def test_a_figure_that_does_not_follow_from_the_weights_is_refused(contents, tmp_path):
    """With both values: examples and manifest agree with the false one."""
    record, members = better(contents, 0.5)
    path = bundle_of(tmp_path / "forged.zip", members)
    with pytest.raises(RefusedError) as caught:
        again(path, tmp_path)
    words = re.search(
        r"run (\w+) records nll ([\d.]+), its weights give ([\d.]+)", str(caught.value)
    )
    true = next(m.value for m in record.metrics if m.metric == "nll")
    assert words[1] == record.run and str(caught.value).startswith(f"{path}: ")
    assert float(words[2]) == pytest.approx(true - 0.5)
    assert float(words[3]) == pytest.approx(true, rel=1e-5)


def test_rounding_is_no_forgery(contents, tmp_path):
    """Another processor rounds otherwise; the figure of the page is then ours."""
    record, members = better(contents, SAME)
    submission = again(bundle_of(tmp_path / "a.zip", members), tmp_path)
    assert submission.graded == GRADED_AGAIN
    true = next(m.value for m in record.metrics if m.metric == "nll")
    ours = next(m.value for m in submission.records[0].metrics if m.metric == "nll")
    assert ours == pytest.approx(true, abs=SAME / 2)


def test_a_share_of_examples_may_jump(contents, tmp_path):
    """It is made again all the same, and the page's is ours."""
    name = min(name for name in contents if name.startswith("runs/"))
    record = msgspec.json.decode(contents[name], type=results.Record)
    metrics = [
        msgspec.structs.replace(m, value=m.value + 0.01) if m.metric == "ess" else m
        for m in record.metrics
    ]
    members = {**contents, name: changed(contents[name], metrics=metrics)}
    submission = again(bundle_of(tmp_path / "a.zip", members), tmp_path)
    assert submission.graded == GRADED_AGAIN
    ours, true = (
        next(m.value for m in one.metrics if m.metric == "ess")
        for one in (submission.records[0], record)
    )
    assert ours == pytest.approx(true, abs=1e-4)


def test_without_weights_figures_stay_as_submitted(trained, tmp_path):
    path = tmp_path / "a.zip"
    submit(trained, path, weights=False)
    submission = again(path, tmp_path)
    assert submission.graded == AS_SUBMITTED
    assert submission.reason == "the weights of 4 of 4 runs are not in its bundle"


def test_another_grading_is_no_forgery(contents, tmp_path):
    """A version whose grading has another fingerprint is not compared, and not refused."""
    name = min(name for name in contents if name.startswith("runs/"))
    record = msgspec.json.decode(contents[name], type=results.Record)
    metrics = [msgspec.structs.replace(m, fingerprint="f" * 16) for m in record.metrics]
    members = {**contents, name: changed(contents[name], metrics=metrics)}
    submission = again(bundle_of(tmp_path / "a.zip", members), tmp_path)
    assert submission.reason == "another version's grading made its figures"
    assert submission.records[0].metrics == metrics


def test_a_run_that_was_not_graded_so_is_said(contents, tmp_path):
    name = min(name for name in contents if name.startswith("runs/"))
    members = {**contents, name: changed(contents[name], metrics=[])}
    assert again(bundle_of(tmp_path / "a.zip", members), tmp_path).reason == "a run has no nll"


def moved(contents, config):
    """The members of one run, as of another configuration."""
    name = min(name for name in contents if name.startswith("runs/"))
    record = msgspec.json.decode(contents[name], type=results.Record)
    run = changed(
        contents[name],
        run=config.id,
        config=msgspec.to_builtins(config),
        labels=labels(config, config.seed),
    )
    return {
        f"runs/{config.id}.json": run,
        f"weights/{config.id}.pt": contents[f"weights/{record.run}.pt"],
    }


def test_data_by_a_path_are_read_from_the_file_that_is_given(contents, tiny_npz, tmp_path):
    """And never from the path in the bundle, which is of another machine."""
    fingerprint = "0" * 16
    config = tiny(tiny_npz)
    config = msgspec.structs.replace(
        config, data=msgspec.structs.replace(config.data, fingerprint=fingerprint)
    )
    path = bundle_of(tmp_path / "a.zip", moved(contents, config))
    assert again(path, tmp_path).reason == "its data 'tiny' are a file: give it by --data tiny=FILE"
    other = again(path, tmp_path / "2", data={"tiny": tiny_npz})
    assert "changed" in other.reason and other.graded == AS_SUBMITTED


def test_weights_of_another_model_are_refused(contents, tmp_path):
    name = min(name for name in contents if name.startswith("runs/"))
    data = msgspec.json.decode(contents[name], type=results.Record).config["data"]
    config = tiny(model={"latent_dim": 2, "widths": [9]}, data=data)
    path = bundle_of(tmp_path / "a.zip", moved(contents, config))
    with pytest.raises(RefusedError, match="must have the shapes of its configuration"):
        again(path, tmp_path)


def test_a_file_that_a_configuration_names_is_not_run(contents, tmp_path):
    """An extractor may be a Python file of the user's own, not a stranger's."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(x): return x\n")
    name = min(name for name in contents if name.startswith("runs/"))
    record = msgspec.json.decode(contents[name], type=results.Record)
    evaluate = {"num_samples": 5, "gradings": ["likelihood"], "extractor": f"{evil}:f"}
    config = tiny(
        objective=record.labels.objective,
        seed=record.labels.seed,
        data=record.config["data"],
        evaluate=evaluate,
    )
    submission = again(bundle_of(tmp_path / "a.zip", moved(contents, config)), tmp_path)
    assert submission.graded == GRADED_AGAIN
    assert not (tmp_path / "ran").exists()


PLUGIN = """
import pathlib
import vaebench as vb
pathlib.Path({marker!r}).touch()
"""


def test_plugins_are_run_where_they_are_trusted_alone(contents, tmp_path):
    marker = tmp_path / "ran"
    name = min(name for name in contents if name.startswith("runs/"))
    record = msgspec.json.decode(contents[name], type=results.Record)
    config = msgspec.convert({**record.config, "plugin": "0" * 16}, RunConfig)
    source = PLUGIN.format(marker=str(marker)).encode()
    members = {**moved(contents, config), "plugins/mine.py": source}
    path = bundle_of(tmp_path / "a.zip", members, plugins=["plugins/mine.py"])
    submission = again(path, tmp_path)
    assert submission.reason == "it needs its plugins, which are run with --trust-plugins alone"
    assert not marker.exists()
    trusted = again(path, tmp_path / "2", trust_plugins=True)
    assert marker.exists()
    assert trusted.graded == GRADED_AGAIN
