"""A study on a Ray cluster of several nodes, of which one dies on the way, and then the head."""

import os
import subprocess
import sys

import pytest

import vaebench as vb
from tests.support.kills import contents, is_gone, number_in, wait_until
from vaebench import results
from vaebench.core.sources import surroundings
from vaebench.objectives import OBJECTIVES

pytestmark = pytest.mark.slow

NODES = """
import sys
from ray.cluster_utils import Cluster

small = {"object_store_memory": 80_000_000, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(int(sys.argv[1]))]
print(cluster.address, flush=True)
for line in sys.stdin:
    if line == "kill a node\\n":
        cluster.remove_node(nodes.pop(), allow_graceful=False)
    else:
        cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    print("done", flush=True)
for node in cluster.list_all_nodes():
    node.kill_all_processes(check_alive=False, allow_graceful=False)
"""
STUDY = """
name = "elsewhere"
[base]
likelihood = "bernoulli"
model = {{ widths = [8] }}
train = {{ num_steps = 20, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
data = {{ name = "{data}", binarisation = "static" }}
objective = "held"
[axes]
"model.latent_dim" = [2, 3, 4, 5, 6]
"""
SLOW = '''
import os
import time
from pathlib import Path

import vaebench as vb


waited = []


@vb.objective(source="this test", bound="lower")
def held(t: vb.Terms):
    """The ELBO; from 4 dimensions on it says that it has begun, and waits for leave."""
    at, size = os.environ.get("VAEBENCH_HOLD"), t.mu.shape[-1]
    if at and size >= 4 and size not in waited:
        waited.append(size)
        Path(at, f"{size} has begun").write_text(str(os.getpid()))
        while True:
            try:
                Path(at, "one may go on").unlink()
                break
            except FileNotFoundError:
                time.sleep(0.05)
    return t.distortion + t.rate
'''


class Nodes:
    """A cluster of a head and nodes, of one core each, in another process."""

    def __init__(self, count, log):
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODES, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            start_new_session=True,
        )
        self.address = self.process.stdout.readline().strip()

    def kill(self, what):
        self.process.stdin.write(f"kill {what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def stop(self):
        self.process.communicate(timeout=60)


@pytest.fixture
def cluster(tmp_path):
    """A head and two nodes; a node that takes longer than Ray allows, on a busy machine, has more
    than one chance."""
    with (tmp_path / "cluster.log").open("w") as log:
        nodes = next(filter(lambda n: n.address, (Nodes(2, log) for _ in range(3))))
        yield nodes
        nodes.stop()


@pytest.fixture
def study(tmp_path, tiny_npz):
    """A study of five stacks, of one run each: two that are done at once, three that are held."""
    path, plugin = tmp_path / "study.toml", tmp_path / "held.py"
    path.write_text(STUDY.format(data=tiny_npz))
    plugin.write_text(SLOW)
    yield [str(path), "--plugin", str(plugin), "--no-timings", "--compile", "never"]
    OBJECTIVES._entries.pop("held", None)
    surroundings._known.clear()


def start(study, out, address, hold):
    """`vaebench run` on the cluster, told of its address by the option."""
    command = [sys.executable, "-m", "vaebench", "run", *study, "--out", str(out)]
    return subprocess.Popen(
        [*command, "--executor", "ray", "--ray-address", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "VAEBENCH_HOLD": str(hold)},
    )


def test_a_node_dies_and_then_the_head_and_the_table_is_that_of_one_machine(
    cluster, study, tmp_path
):
    """What the node had is done again on another; what the head had, after it, anywhere."""
    hold, out = tmp_path / "hold", tmp_path / "out"
    hold.mkdir()

    def begun():
        """The workers that have begun and wait."""
        return [pid for path in hold.glob("* has begun") if (pid := number_in(path))]

    process = start(study, out, cluster.address, hold)
    wait_until(lambda: len(begun()) == 3 and len(contents(out)) == 2, process)
    workers = begun()
    for path in hold.iterdir():
        path.unlink()
    cluster.kill("a node")
    wait_until(lambda: any(map(is_gone, workers)), process)  # it outlives its node by a moment
    (hold / "one may go on").touch()
    wait_until(lambda: len(begun()) == 1 and len(contents(out)) == 3, process)
    kept = contents(out)
    cluster.kill("the head")
    _, errors = process.communicate(timeout=60)
    last = errors.splitlines()[-1]
    assert process.returncode == 2, errors
    assert f"the head of the Ray cluster must stay; {cluster.address} is gone" in last
    assert "give the same command, which goes on from the records" in last
    assert contents(out) == kept

    def run_here(out):
        options = {"executor": "inline", "timings": False, "compiles": "never"}
        return vb.run(study[0], out, plugins=[study[2]], **options)

    run_here(tmp_path / "here")
    rows = run_here(out)
    assert rows["run"].nunique() == 5
    on_both = contents(out)
    assert {name: on_both[name] for name in kept} == kept, "what is kept is not done again"
    assert on_both == contents(tmp_path / "here")


HUNGRY = """
import sys
from pathlib import Path
from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.running.executors import on_ray
from vaebench.running.harness import train_all
from vaebench.running.machine import this_machine

on_ray._probe = lambda ray, kind: this_machine(1)  # or it would be killed too
configs = resolve([tiny(sys.argv[1])])
print(train_all(configs, Path(sys.argv[2]), "s", executor="ray", workers=1))
"""


def test_a_task_that_ray_kills_for_memory_each_time_ends_as_a_named_failure(tmp_path, tiny_npz):
    """A node that allows no memory at all: Ray by itself would try again for ever."""
    limits = {"RAY_memory_usage_threshold": "0.0", "RAY_memory_monitor_refresh_ms": "50"}
    environment = {**os.environ, **limits, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": "local"}
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY, str(tiny_npz), str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (record,) = results.records(tmp_path / "out")
    assert record.status == "failed"
    assert record.reason.startswith("its worker died 3 times, the last time with this run alone")
    assert "OutOfMemoryError" in record.reason
