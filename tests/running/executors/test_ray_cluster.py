"""A study on a Ray cluster of several nodes, of which one dies on the way, and then the head."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

import vaebench as vb
from tests.support import ray_clusters
from tests.support.kills import DEADLINE_S, background, contents, is_gone, wait_until
from tests.support.ray_clusters import ENVIRONMENT
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
print(cluster.address, cluster.head_node.node_id, flush=True)
for line in sys.stdin:
    (node,) = (n for n in cluster.list_all_nodes() if n.node_id == line.strip())
    if node is cluster.head_node:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    else:
        cluster.remove_node(node, allow_graceful=False)
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


@vb.objective(source="this test", bound="lower")
def held(t: vb.Terms):
    """The ELBO, once there is leave for this number of dimensions; before, it says where it is."""
    if "VAEBENCH_HOLD" in os.environ:
        wait(Path(os.environ["VAEBENCH_HOLD"]), t.mu.shape[-1])
    return t.distortion + t.rate


def wait(at, size):
    leave = at / f"{size} may go on"
    if not leave.exists():
        import ray

        here = f"{os.getpid()} {ray.get_runtime_context().get_node_id()}"
        (at / f"{size}.tmp").write_text(here)
        (at / f"{size}.tmp").rename(at / f"{size} waits")
    while not leave.exists():
        time.sleep(0.05)
'''


class Waiting(NamedTuple):
    """A run that waits for leave, in a process on a node."""

    size: int
    pid: int
    node: str


@dataclass(frozen=True)
class Hold:
    """The folder in which runs say that they wait, and are given leave."""

    at: Path

    def waiting(self):
        """The runs that wait, in the order of their size; also those whose process was killed."""
        sizes = {size_of(path) for path in self.at.glob("* waits")} - self.let_go()
        said = {size: (self.at / f"{size} waits").read_text().split() for size in sorted(sizes)}
        return [Waiting(size, int(pid), node) for size, (pid, node) in said.items()]

    def let_go(self):
        return {size_of(path) for path in self.at.glob("* may go on")}

    def let(self, run):
        (self.at / f"{run.size} may go on").touch()


def size_of(path):
    return int(path.name.split()[0])


@dataclass(frozen=True)
class Nodes:
    """A cluster of a head and nodes, of one core each, in another process."""

    process: subprocess.Popen
    address: str
    head: str

    def kill(self, node):
        self.process.stdin.write(f"{node}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def cluster(tmp_path):
    """A head and two nodes."""
    with ray_clusters.started(NODES, 2, log=tmp_path / "cluster.log") as (process, words):
        yield Nodes(process, *words)


@pytest.fixture
def study(tmp_path, tiny_npz):
    """A study of five stacks, of one run each, and each waits for leave."""
    path, plugin = tmp_path / "study.toml", tmp_path / "held.py"
    path.write_text(STUDY.format(data=tiny_npz))
    plugin.write_text(SLOW)
    yield [str(path), "--plugin", str(plugin), "--no-timings", "--compile", "never"]
    OBJECTIVES._entries.pop("held", None)
    surroundings._known.clear()


def start(study, out, address, hold):
    """`vaebench run` on the cluster, told of its address by the option."""
    command = [sys.executable, "-m", "vaebench", "run", *study, "--out", str(out)]
    return background(
        [*command, "--executor", "ray", "--ray-address", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "VAEBENCH_HOLD": str(hold.at)},
    )


def test_a_node_dies_and_then_the_head_and_the_table_is_that_of_one_machine(
    cluster, study, tmp_path
):
    """What the node had is begun again on another; what that had too, after the head, anywhere.

    Ray begins tasks in any order and on any node, and on a busy machine loses one by itself.
    """
    hold, out = Hold(tmp_path / "hold"), tmp_path / "out"
    hold.at.mkdir()

    def state():
        log = (tmp_path / "cluster.log").read_text()
        return f"{hold.waiting()} wait, {len(contents(out))} are recorded; the cluster: {log}"

    with start(study, out, cluster.address, hold) as process:

        def until(what, condition):
            return wait_until(what, condition, process, state)

        def are_recorded():
            return len(contents(out)) == len(hold.let_go())

        hold.let(until("a run has begun", hold.waiting)[0])
        until("it is recorded", are_recorded)
        (victim, *_) = until(
            "a run waits on another node than the head",
            lambda: [run for run in hold.waiting() if run.node != cluster.head],
        )
        cluster.kill(victim.node)
        until("its worker is gone", lambda: is_gone(victim.pid))  # it outlives its node by a moment

        def begun_again():
            """Whether the victim waits elsewhere; until it does, one more of the rest may go on."""
            waiting = {run.size: run for run in hold.waiting()}
            again = waiting.pop(victim.size)
            if again == victim and are_recorded() and waiting:
                hold.let(next(iter(waiting.values())))
            return again != victim and are_recorded()

        until("its run has begun again", begun_again)
        kept = contents(out)
        cluster.kill(cluster.head)
        _, errors = process.communicate(timeout=DEADLINE_S)
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
    environment = {**ENVIRONMENT, **limits, "RAY_ADDRESS": "local"}
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY, str(tiny_npz), str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    (record,) = results.records(tmp_path / "out")
    assert record.status == "failed"
    assert record.reason.startswith("its worker died 3 times, the last time with this run alone")
    assert "OutOfMemoryError" in record.reason
