"""Runs on Ray: the cluster that is there, or one that is started; and what a node does not see."""

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.support.kills import contents
from tests.support.runs import tiny
from vaebench import results
from vaebench.config import parse
from vaebench.config.study import resolve
from vaebench.core import plugins
from vaebench.core.errors import InputError
from vaebench.core.sources import surroundings
from vaebench.objectives import OBJECTIVES
from vaebench.running.executors import on_ray
from vaebench.running.harness import train_all
from vaebench.running.job import Job

HEAD = """
import sys
import ray
started = ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
print(started.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
DEADLY = '''
import os
from typing import Annotated

import torch

import vaebench as vb


@vb.objective(source="this test", bound="none")
def deadly(t: vb.Terms, *, gamma: Annotated[vb.Scalar, vb.Hyper((0.5, 4.0), low=0.0)] = 1.0):
    """The ELBO with a weight on its rate; at the weight 2 it takes its process with it."""
    if 2.0 in torch.as_tensor(gamma):
        os._exit(3)
    return t.distortion + gamma * t.rate
'''


@pytest.fixture
def ray():
    module = pytest.importorskip("ray", reason="needs the extra ray")
    yield module
    module.shutdown()


@pytest.fixture
def cluster(ray, monkeypatch):
    """The address of a cluster that another process has started, of one core."""
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment | {"RAY_AUTH_MODE": "disabled"},
    )
    address = head.stdout.readline().strip()
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    yield address
    ray.shutdown()
    head.communicate("", timeout=60)


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "deadly.py"
    path.write_text(DEADLY)
    plugins.load_plugins([str(path)])
    yield str(path)
    OBJECTIVES._entries.pop("deadly", None)
    surroundings._known.clear()


def test_a_cluster_that_exists_is_joined_and_a_death_there_costs_its_culprit_alone(
    cluster, ray, plugin, tmp_path, tiny_npz, monkeypatch
):
    """With a relative path of the data, and of the folder that the records go to."""
    monkeypatch.chdir(tmp_path)
    objectives = [{"name": "deadly", "gamma": gamma} for gamma in (1.0, 2.0)]
    configs = resolve([tiny(tiny_npz.name, objective=o) for o in objectives])
    handler = signal.getsignal(signal.SIGTERM)
    ended = train_all(configs, Path("out"), "s", executor="ray", plugins=[plugin], workers=7)
    assert [ended[config.id] for config in configs] == ["done", "failed"]
    assert ray.cluster_resources()["CPU"] == 1, "it was joined, not started"
    assert signal.getsignal(signal.SIGTERM) is handler, "Ray would take it"
    (failed,) = (r for r in results.records(tmp_path / "out") if r.status == "failed")
    assert "died 2 times with this run alone" in failed.reason
    train_all(configs[:1], tmp_path / "alone", "s", executor="inline")
    alone = contents(tmp_path / "alone")
    assert {name: contents(tmp_path / "out")[name] for name in alone} == alone
    assert not list((tmp_path / "out").glob(".*"))


def test_where_there_is_no_cluster_one_is_started(ray, tmp_path, tiny_npz, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "local")  # whatever else runs on this machine
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in range(2)])
    train_all(configs, tmp_path / "ray", "s", executor="ray", workers=1)
    train_all(configs, tmp_path / "inline", "s", executor="inline")
    assert contents(tmp_path / "ray") == contents(tmp_path / "inline")


# ------------------------------------------------------------------ without Ray


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(f"a page of traceback of {cause}")
        self.cause = cause


def fake(monkeypatch, **functions):
    errors = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    module = types.SimpleNamespace(exceptions=errors, is_initialized=lambda: False, **functions)
    monkeypatch.setitem(sys.modules, "ray", module)
    return module


def at_once(task):
    """As `ray.remote(...)(task)`, done where it is asked for."""

    def remote(*arguments):
        try:
            return Ended(task(*arguments), None)
        except Exception as error:
            return Ended(None, RayTaskError(error))

    return types.SimpleNamespace(remote=remote)


class Ended:
    def __init__(self, value, error):
        self.value, self.error = value, error


def result(ended):
    if ended.error is not None:
        raise ended.error
    return ended.value


@pytest.fixture
def job(tmp_path, tiny_npz):
    results.prepare(tmp_path / "out")
    return Job(tuple(resolve([tiny(tiny_npz)])), tmp_path / "out", "s")


@pytest.fixture
def fake_ray(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return fake(
        monkeypatch,
        init=lambda **settings: None,
        remote=lambda **settings: at_once,
        wait=lambda tasks: (tasks[:1], tasks[1:]),
        get=result,
    )


def test_a_node_without_the_output_folder_says_so_before_it_computes(job, fake_ray, monkeypatch):
    monkeypatch.setattr(on_ray, "perform", lambda *_: pytest.fail("it has computed"))
    elsewhere = at_once(lambda job, mark: on_ray._perform(job, mark.parent / "elsewhere" / "mark"))
    fake_ray.remote = lambda **settings: lambda task: elsewhere
    assert list(on_ray.run_on_ray([job], 1, lambda steps: None)) == [job]
    (record,) = results.records(job.out)
    assert record.status == "failed"
    assert "every node must see the output folder" in record.reason
    assert f"does not see {job.out}" in record.reason


def test_a_run_whose_records_go_nowhere_is_one_that_failed(job, fake_ray, monkeypatch):
    """As of a disk that a node lost while it computed."""
    monkeypatch.setattr(on_ray, "perform", lambda job, on_steps: None)
    ended = train_all(job.configs, job.out, "s", executor="ray")
    assert set(ended.values()) == {"failed"}
    (record,) = results.records(job.out)
    assert "no record of it is in" in record.reason


@pytest.mark.parametrize("kind", ["data", "extractor"])
def test_relative_paths_are_those_of_the_coordinator(job, fake_ray, monkeypatch, tmp_path, kind):
    """A task has a working directory of its own, and the record what was written."""
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "mine.py").write_text("def features(x):\n    return x.flatten(1)[:, :4]\n")
    monkeypatch.chdir(tmp_path)
    extractor = {"data": "auto", "extractor": "mine.py:features"}[kind]
    settings = {"num_samples": 5, "num_images": 8, "extractor": extractor}
    (config,) = resolve([tiny("tiny.npz", evaluate=settings)])

    def in_its_folder(task):
        def moved(*arguments):
            with monkeypatch.context() as patch:
                patch.chdir(there)
                return task(*arguments)

        return at_once(moved)

    fake_ray.remote = lambda **settings: in_its_folder
    train_all([config], Path("out"), "s", executor="ray")
    (record,) = results.records(tmp_path / "out")
    assert (record.status, record.reason) == ("done", "")
    assert record.run == config.id
    assert parse(record.config) == config


@pytest.mark.parametrize("has_cluster", [True, False])
def test_a_cluster_is_given_a_size_only_where_it_is_ours(monkeypatch, has_cluster):
    sizes = []

    def init(num_cpus=None, **settings):
        if has_cluster and num_cpus is not None:
            raise ValueError("When connecting to an existing cluster, num_cpus must not be given.")
        sizes.append(num_cpus)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fake(monkeypatch, init=init)
    on_ray._joined(4)
    assert sizes == [None if has_cluster else 4]


def test_the_data_folder_is_sent_along(monkeypatch, tmp_path):
    sent = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAEBENCH_DATA", "data")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fake(monkeypatch, init=lambda **settings: sent.update(settings))
    on_ray._joined(1)
    assert sent["runtime_env"] == {"env_vars": {"VAEBENCH_DATA": str(tmp_path / "data")}}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:none"])
def test_a_cluster_out_of_reach_is_a_mistake_in_one_line(monkeypatch, address):
    fake(monkeypatch, init=lambda **settings: pytest.fail("Ray would try for minutes"))
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=f"of RAY_ADDRESS must be within reach; {address}: "):
        on_ray._joined(1)


def test_what_ray_says_of_a_cluster_that_is_gone_is_said_in_one_line(monkeypatch):
    def init(**settings):
        raise ConnectionError("ray could not connect")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fake(monkeypatch, init=init)
    with pytest.raises(InputError, match="must be within reach; ray could not connect: start it"):
        on_ray._joined(1)
