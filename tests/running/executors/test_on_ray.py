"""Runs on Ray: the cluster that is there, or one that is started; and what a node does not see."""

import signal
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.support import ray_clusters
from tests.support.kills import contents
from tests.support.runs import tiny
from vaebench import __version__ as VERSION
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core import plugins
from vaebench.core.errors import InputError
from vaebench.core.sources import surroundings
from vaebench.objectives import OBJECTIVES
from vaebench.running.cluster import Cluster
from vaebench.running.executors import on_ray
from vaebench.running.harness import train_all
from vaebench.running.job import Job
from vaebench.running.machine import Machine

HEAD = """
import sys
import ray
started = ray.init("local", num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
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
def cluster(ray, tmp_path, monkeypatch):
    """The address of a cluster that another process has started, of one core."""
    with ray_clusters.started(HEAD, log=tmp_path / "cluster.log") as (_, (address,)):
        monkeypatch.setenv("RAY_ADDRESS", address)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        yield address
        ray.shutdown()


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
    eager = {"plugins": [plugin], "compiles": "never"}
    ended = train_all(configs, Path("out"), "s", executor="ray", workers=7, **eager)
    assert [ended[config.id] for config in configs] == ["done", "failed"]
    assert ray.cluster_resources()["CPU"] == 1, "it was joined, not started"
    assert signal.getsignal(signal.SIGTERM) is handler, "Ray would take it"
    (failed,) = (r for r in results.records(tmp_path / "out") if r.status == "failed")
    assert "died 3 times, the last time with this run alone (WorkerCrashedError" in failed.reason
    train_all(configs[:1], tmp_path / "alone", "s", executor="inline", compiles="never")
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


def node(name, cores, gpus=0, gigabytes=8, alive=True):
    resources = {"CPU": cores, "GPU": gpus, "memory": gigabytes << 30}
    return {"NodeID": name, "Alive": alive, "Resources": {k: v for k, v in resources.items() if v}}


@pytest.fixture
def probed(fake_ray, monkeypatch):
    """The nodes that are probed: each finds 100 bytes for each core, or 1000 on its GPU."""
    names = []

    def probe(ray, kind):
        names.append(kind)
        device = torch.device("cuda" if kind.gpus else "cpu")
        share = 1000.0 if kind.gpus else 100.0 * kind.cores
        return Machine(device, kind.gpus or kind.cores, kind.cores, share)

    monkeypatch.setattr(on_ray, "_probe", probe)
    monkeypatch.setattr(on_ray, "_probed", {})
    return names


def test_stacks_are_planned_for_the_smallest_node_and_each_kind_is_probed_once(fake_ray, probed):
    """Three nodes of two kinds, and one that is dead; the coordinator's own cores do not count."""
    fake_ray.nodes = lambda: [
        *(node("a", 4), node("b", 4), node("c", 2)),
        *(node("head", 0), node("dead", 64, alive=False)),
    ]
    expected = Machine(torch.device("cpu"), 10, 2, 200.0)
    assert on_ray.machine(None, Cluster()) == expected
    assert on_ray.machine(None, Cluster()) == expected
    assert sorted(kind.cores for kind in probed) == [2, 4]


def test_where_a_cluster_has_gpus_a_study_trains_on_these_alone(fake_ray, probed):
    fake_ray.nodes = lambda: [node("a", 4), node("b", 8, gpus=2), node("c", 8, gpus=2)]
    assert on_ray.machine(None, Cluster()) == Machine(torch.device("cuda"), 4, 8, 1000.0)
    assert len(probed) == 1


def test_a_cluster_without_cores_is_refused(fake_ray, probed):
    fake_ray.nodes = lambda: [node("head", 0)]
    with pytest.raises(InputError, match="must have nodes with cores; it has none: start some"):
        on_ray.machine(None, Cluster())


def test_a_node_with_another_version_is_refused_by_name(tiny_npz):
    job = Job(tuple(resolve([tiny(tiny_npz)])), "s")
    with pytest.raises(InputError, match=f"every node must have vaebench 0.0.0; .* has {VERSION}"):
        next(on_ray._stream(job, None, "0.0.0"))


@pytest.mark.parametrize("is_node", [True, False])
def test_a_task_that_is_lost_with_its_node_says_so(monkeypatch, tiny_npz, is_node):
    class RayError(Exception):
        pass

    class NodeDiedError(RayError):
        pass

    def get(task):
        raise NodeDiedError("it is gone") if is_node else RayError("killed")

    fake_ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayError=RayError, NodeDiedError=NodeDiedError),
        get_runtime_context=lambda: SimpleNamespace(gcs_address="127.0.0.1:1"),
        put=lambda value: value,
        wait=lambda tasks, **options: (tasks, []),
        get=get,
    )
    monkeypatch.setattr(on_ray, "joined", lambda address, num_cpus: fake_ray)
    monkeypatch.setattr(on_ray.Head, "check", lambda head, at_once: None)
    monkeypatch.setattr(on_ray, "_most", lambda ray, job: 1)
    monkeypatch.setattr(on_ray, "_submitted", lambda ray, job, parcel: iter([0]))
    job = Job(tuple(resolve([tiny(tiny_npz)])), "s")
    (lost,) = on_ray.run_on_ray(deque([job]), 1, Cluster())
    assert (lost.job, lost.with_machine) == (job, is_node)
