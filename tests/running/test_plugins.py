"""Entries of a user's plugin file: they train, they fail by themselves, and an edit is noticed."""

from pathlib import Path

import pytest

import vaebench as vb
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.running.harness import train_all

PLUGIN = '''
from typing import Annotated

import vaebench as vb
from vaebench.models.likelihoods import LIKELIHOODS

bernoulli = LIKELIHOODS["bernoulli"]


@vb.objective(source="this test", bound="lower", same_as=(vb.SameAs("elbo", at={"gamma": 1.0}),))
def my_elbo(t: vb.Terms, *, gamma: Annotated[vb.Scalar, vb.Hyper((0.5, 2.0))] = 1.0):
    """The ELBO with a factor on its rate."""
    return t.distortion + gamma * t.rate


@vb.likelihood(
    source="this test", measure="mass", support=bernoulli.support, mean=bernoulli.mean
)
def my_bernoulli(x, out):
    """The registered one under another name."""
    return bernoulli.log_prob(x, out)


@vb.objective(source="this test", bound="none")
def raises(t: vb.Terms):
    """An objective that fails."""
    raise RuntimeError("on purpose")


@vb.objective(source="this test", bound="none")
def dies(t: vb.Terms):
    """An objective that takes its process with it."""
    import os

    os.kill(os.getpid(), 9)
'''


@pytest.fixture
def plugin(tmp_path):
    """A plugin file, whose registrations are taken back after the test."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    yield str(path)
    forget()


def forget() -> None:
    from vaebench.core.sources import surroundings
    from vaebench.models.likelihoods import LIKELIHOODS
    from vaebench.objectives import OBJECTIVES

    for registry in (OBJECTIVES, LIKELIHOODS):
        for name in ("my_elbo", "raises", "dies", "my_bernoulli"):
            registry._entries.pop(name, None)
    surroundings._known.clear()


def variant(study: Path, objective: str) -> Path:
    study.write_text(study.read_text().replace('"elbo"', f'"{objective}"'))
    return study


def test_a_plugin_trains_is_evaluated_and_appears_in_the_table(study, tmp_path, plugin):
    from vaebench.report import write_report

    out = tmp_path / "out"
    vb.run(variant(study(), "my_elbo"), out, plugins=[plugin], timings=False)
    table, _ = write_report(out, tmp_path / "report")
    assert set(table["variant"]) == {"my_elbo(gamma=1)", "iwae K=2"}
    assert table["rank"].notna().all()
    assert "my_elbo(gamma=1)" in (tmp_path / "report" / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mine", "old", "new"),
    [
        ("elbo", "my_elbo", "gamma * t.rate", "gamma**2 * t.rate"),
        (
            "bernoulli",
            "my_bernoulli",
            "bernoulli.log_prob(x, out)",
            "2 * bernoulli.log_prob(x, out)",
        ),
    ],
)
def test_an_edited_plugin_is_run_again_on_a_line_of_its_own(
    study, tmp_path, plugin, name, mine, old, new
):
    path, out = study(), tmp_path / "out"
    path.write_text(path.read_text().replace(f'"{name}"', f'"{mine}"', 1))
    before = vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    forget()
    assert old in PLUGIN
    Path(plugin).write_text(PLUGIN.replace(old, new))
    after = vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    mine_only = after[after.eq(mine).any(axis=1) | after["variant"].str.startswith(mine)]
    assert after["run"].nunique() > before["run"].nunique()
    assert mine_only.groupby(["variant", "settings"])["run"].nunique().eq(2).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "reason"), [("raises", "on purpose"), ("dies", "worker died")]
)
def test_a_run_that_fails_is_a_row_with_its_reason(study, tmp_path, plugin, objective, reason):
    rows = vb.run(
        variant(study(), objective), tmp_path / "out", plugins=[plugin], workers=2, timings=False
    )
    failed = rows[rows["status"] == "failed"]
    assert failed["run"].nunique() == 2
    assert failed["reason"].str.contains(reason).all()
    assert rows[rows["objective"] == "iwae"]["run"].nunique() == 2


@pytest.mark.slow
def test_a_failed_run_is_tried_again_and_a_diverged_one_is_not(study, tmp_path, plugin):
    out, path = tmp_path / "out", variant(study(), "raises")
    vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").glob("*.json")}
    vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    changed = {p for p in before if p.stat().st_mtime_ns != before[p]}
    assert {results.recorded(out)[p.stem] for p in changed} == {"failed"}

    wild = tiny(train={"num_steps": 60, "batch_size": 16, "learning_rate": 1e30})
    first = train_all(resolve([wild]), tmp_path / "wild", "s", executor="inline")
    assert set(first.values()) == {"diverged"}
    record = next((tmp_path / "wild" / "runs").iterdir())
    stamp = record.stat().st_mtime_ns
    train_all(resolve([wild]), tmp_path / "wild", "s", executor="inline")
    assert record.stat().st_mtime_ns == stamp
    (row,) = vb.load(tmp_path / "wild").to_dict("records")
    assert "not finite at step" in row["reason"]
