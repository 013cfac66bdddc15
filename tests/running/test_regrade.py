"""Grading again from the weights: the same figures at the same K, tighter ones at a larger."""

import io
import math
import os
import pickle
import shutil

import msgspec
import pytest
import torch

from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.running.harness import train_all
from vaebench.running.regrade import Request, estimate_seconds, regrade

pytestmark = pytest.mark.slow


GIVEN = "0" * 16


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    configs = [
        *(tiny(seed=i) for i in range(2)),
        tiny(likelihood="gaussian_learned", data={"name": "digits"}),
        tiny(likelihood="gaussian_optimal", data={"name": "digits", "dequantise": True}),
        tiny(objective="elbo_mc", posterior="iaf", prior="vamp"),
        tiny(posterior="gumbel_softmax", prior="learned_categorical"),
        tiny(train={"num_steps": 60, "batch_size": 16, "learning_rate": 1e30}),
    ]
    train_all(resolve(configs), out, "s", executor="inline")
    return out


@pytest.fixture
def folder(trained, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(trained, tmp_path / "folder")


def figures(rows, name):
    return {row["run"]: row["value"] for row in rows if row["metric"] == name}


def recorded(folder, name):
    rows = results.load(folder)
    return rows[rows["metric"] == name].set_index("run")["value"].to_dict()


def test_the_same_samples_give_the_recorded_figures(folder):
    rows = regrade(Request(folder))
    for name in ("nll", "elbo", "frechet", "valid_nll"):
        assert figures(rows, name) == pytest.approx(recorded(folder, name), rel=1e-5)
    assert len(figures(rows, "nll")) == 6


def test_more_samples_tighten_the_bound(folder):
    few, many = (
        figures(regrade(Request(folder)), "nll"),
        figures(regrade(Request(folder, num_samples=500)), "nll"),
    )
    assert all(many[run] < few[run] for run in few)


def test_one_run_by_its_id(folder):
    run = min(recorded(folder, "nll"))
    assert set(figures(regrade(Request(folder, [run])), "nll")) == {run}


def test_what_is_missing_is_said(folder, tmp_path):
    with pytest.raises(InputError, match="no finished run 'x'"):
        regrade(Request(folder, ["x"]))
    with pytest.raises(InputError, match="of at least 1; got 0"):
        regrade(Request(folder, num_samples=0))
    with pytest.raises(InputError, match="run a study first"):
        regrade(Request(tmp_path / "empty"))


def spoiled(state, name, value):
    return state | {name: torch.full_like(state[name], value)}


def files_of(state):
    """Files that are no weights of the run, by what they are, and what is said of each."""
    name = min(state)
    other = spoiled(state, name, 1.0)
    return {
        "missing": (None, "must hold the run's weights; No such file"),
        "empty": (b"", "damaged"),
        "torn": (saved(state)[:-99], "damaged"),
        "no archive": (b"weights", "damaged"),
        "code": (pickle.dumps(Bomb()), "damaged"),
        "a list": (saved([1, 2]), "damaged"),
        "no tensors": (saved({"w": "x"}), "damaged"),
        "not a number": (saved(spoiled(state, name, math.nan)), "must be finite"),
        "infinite": (saved(spoiled(state, name, math.inf)), "must be finite"),
        "of another model": (saved({name: state[name]}), "must have the shapes"),
        "of another width": (saved(other | {name: other[name].repeat(1, 1, 2)}), "the shapes"),
    }


class Bomb:
    def __reduce__(self):
        return os.abort, ()


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_weights_that_are_not_the_runs_are_refused_and_the_others_graded(tmp_path, tiny_npz):
    """By the digest in the record, and where that is of before, by what the file holds."""
    configs = resolve([tiny(tiny_npz, seed=i) for i in range(2)])
    train_all(configs, tmp_path, "s", executor="inline")
    changed, other = results.records(tmp_path)
    path = tmp_path / "weights" / f"{changed.run}.pt"
    before = msgspec.structs.replace(changed, weights="")
    for what, (content, reason) in files_of(torch.load(path)).items():
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        for record in (before, changed):
            results.write(tmp_path, record)
            rows = regrade(Request(tmp_path, gradings=["latent"]))
            refused = [row["trust"] for row in rows if row["run"] == changed.run]
            assert len(refused) == 1, what
            known = record.weights and content is not None
            assert ("by the digest in its record" if known else reason) in refused[0], what
            assert {row["run"] for row in rows if row["metric"]} == {other.run}, what
    path.write_bytes((tmp_path / "weights" / f"{other.run}.pt").read_bytes())
    (row,) = [row for row in regrade(Request(tmp_path)) if row["run"] == changed.run]
    assert "damaged, or another run's" in row["trust"]


def test_a_record_of_before_digests_is_graded(folder):
    whole = figures(regrade(Request(folder)), "nll")
    for record in list(results.records(folder)):
        assert record.status != "done" or len(record.weights) == 64
        results.write(folder, msgspec.structs.replace(record, weights=""))
    assert figures(regrade(Request(folder)), "nll") == whole


def test_two_records_of_one_configuration_are_both_graded(folder):
    """Records differ in a setting, as where one is of before it was added."""
    (record, *_) = [r for r in results.records(folder) if r.status == "done"]
    for part, suffix in (("weights", "pt"), ("examples", "npz")):
        path = folder / part / f"{record.run}.{suffix}"
        path.with_stem(GIVEN).write_bytes(path.read_bytes())
    results.write(folder, msgspec.structs.replace(record, run=GIVEN))
    computed = figures(regrade(Request(folder)), "nll")
    assert computed[GIVEN] == pytest.approx(computed[record.run], rel=1e-5)
    assert len(computed) == 7


def test_changed_data_are_refused(folder):
    for record in list(results.records(folder)):
        data = {**record.config["data"], "fingerprint": "0" * 16}
        changed = msgspec.structs.replace(record, config={**record.config, "data": data})
        results.write(folder, changed)
    rows = regrade(Request(folder))
    assert all("must have fingerprint 0000" in row["trust"] for row in rows)
    assert {row["metric"] for row in rows} == {""}


def test_a_kept_grading_joins_the_record_and_what_was_there_stays(folder):
    before = {record.run: record for record in results.records(folder)}
    pictures = sorted([*folder.glob("samples/*"), *folder.glob("exhibits/*")])
    shown = {path: path.read_bytes() for path in pictures}
    for path in pictures:
        path.unlink()  # as in a folder of before there were any
    request = Request(folder, gradings=["two_sample"])
    rows = regrade(request, keep=True)
    assert {path: path.read_bytes() for path in pictures} == shown
    computed = figures(rows, "c2st_accuracy")
    assert computed and computed == recorded(folder, "c2st_accuracy")
    for record in results.records(folder):
        kept = {m.metric: m for m in record.metrics}
        assert all(kept[m.metric] == m for m in before[record.run].metrics)
        assert msgspec.structs.replace(record, metrics=[]) == msgspec.structs.replace(
            before[record.run], metrics=[]
        )
    regrade(request, keep=True)
    assert all(
        len({m.metric for m in record.metrics}) == len(record.metrics)
        for record in results.records(folder)
    )


def test_what_figures_are_means_of_is_kept(folder):
    for run, value in recorded(folder, "nll").items():
        assert results.examples(folder, run)["nll"].mean() == pytest.approx(value, rel=1e-5)
    request = Request(folder, gradings=["likelihood"])
    (folder / "examples" / f"{run}.npz").unlink()
    regrade(request, keep=True)
    assert results.examples(folder, run)["nll"].mean() == pytest.approx(value, rel=1e-5)


def test_damaged_examples_are_named_before_the_others_are_graded_and_kept(folder):
    (run, *_), kept = recorded(folder, "nll"), Request(folder, gradings=["latent"])
    path = folder / "examples" / f"{run}.npz"
    path.write_bytes(b"none")
    assert len(figures(regrade(kept), "active_units")) == 6
    rows = regrade(kept, keep=True)
    (refused,) = [row for row in rows if not row["metric"]]
    assert refused["run"] == run
    assert f"{path} must be an .npz" in refused["trust"]
    assert len(figures(rows, "active_units")) == 5
    assert path.read_bytes() == b"none"


def test_figures_of_another_k_are_not_kept(folder):
    with pytest.raises(InputError, match="at one K"):
        regrade(Request(folder, num_samples=7), keep=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_samples": 10**15}, "must be a whole number of at most 4294967296"),
        ({"num_images": 2**32}, "an evaluation must fit into memory: take fewer samples or images"),
    ],
)
def test_a_record_of_more_than_fits_is_named_and_the_others_are_graded(folder, changes, reason):
    run = min(recorded(folder, "nll"))
    (record,) = [r for r in results.records(folder) if r.run == run]
    config = {**record.config, "evaluate": {**record.config["evaluate"], **changes}}
    results.write(folder, msgspec.structs.replace(record, config=config))
    rows = regrade(Request(folder))
    assert reason in next(row["trust"] for row in rows if row["run"] == run)
    assert {row["run"] for row in rows if row["metric"]} == {*recorded(folder, "nll")} - {run}


@pytest.mark.parametrize(
    ("grading", "message"),
    [
        ("latnet", "did you mean 'latent'"),
        ({"name": "annealed", "num_chains": 0}, "num_chains"),
        ("disentanglement", "grading 'disentanglement' is refused: "),
    ],
)
def test_a_grading_that_cannot_be_is_refused_before_anything_is_said(folder, grading, message):
    def never(what, total):
        pytest.fail(f"{what!r} was said first")

    with pytest.raises(InputError, match=message):
        regrade(Request(folder, gradings=[grading]), progress=never)


def test_the_time_is_estimated_for_each_grading(folder):
    seconds = estimate_seconds(Request(folder, gradings=["likelihood", "latent"]))
    assert list(seconds) == ["likelihood", "latent"]
    assert all(value > 0 for value in seconds.values())
    assert "two_sample" not in {m.metric for r in results.records(folder) for m in r.metrics}


def test_a_record_of_before_a_setting_was_added_is_graded_under_its_own_name(folder):
    """Its configuration would have another id now; its files have the name that it has."""
    run = min(recorded(folder, "nll"))
    (record,) = [r for r in results.records(folder) if r.run == run]
    for path in folder.glob(f"*/{run}.*"):
        path.rename(path.with_stem("0123456789abcdef"))
    older = dict(record.config)
    older["evaluate"] = {k: v for k, v in record.config["evaluate"].items() if k[:3] == "num"}
    (folder / "runs" / "0123456789abcdef.json").unlink()
    results.write(folder, msgspec.structs.replace(record, run="0123456789abcdef", config=older))
    rows = regrade(Request(folder, ["0123456789abcdef"]), keep=True)
    assert {row["run"] for row in rows} == {"0123456789abcdef"}
    assert run not in results.recorded(folder)


def test_a_model_from_elsewhere_is_not_graded_from_a_record(folder):
    (record, *_) = [r for r in results.records(folder) if r.status == "done"]
    results.write(folder, msgspec.structs.replace(record, run=GIVEN, config={}))
    with pytest.raises(InputError, match="evaluate its file"):
        regrade(Request(folder, [GIVEN]))
    assert GIVEN not in {row["run"] for row in regrade(Request(folder))}
