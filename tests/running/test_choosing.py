"""What a study compiles: a table of studies, disks and cores, and no clock."""

import time
from types import SimpleNamespace

import pytest
import torch

import vaebench as vb
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.running import choosing
from vaebench.running.choosing import COMPILE, Study, Work, choose, explained, in_words
from vaebench.running.work import StepWork
from vaebench.training.stepping import compiled
from vaebench.training.stepping.ways import LIKE, STEP, WHY

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
STEP_OF_A_RUN = StepWork(1000, 1000, elements=100, num_bytes=1 << 20, step_bytes=1 << 19)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Figures that can be added in the head: 0.01 s a step of a stack, 0.01 + 0.01 s of each run;
    10 s a graph. And nothing in the module may read a clock."""
    for name, value in {
        "SAVED_PER_STEP": 0.01,
        "SAVED_PER_ELEMENT": 0.01 / STEP_OF_A_RUN.elements,
        "SAVED_PER_FLOP": 0.01 / STEP_OF_A_RUN.flops,
        "COMPILING_S": 10.0,
        "LOADING_S": 1.0,
        "step_work": lambda config: STEP_OF_A_RUN,
    }.items():
        monkeypatch.setattr(choosing, name, value)
    monkeypatch.setattr(compiled, "problem", lambda: "")


@pytest.fixture
def no_clock(monkeypatch):
    for name in ("perf_counter", "monotonic", "process_time", "time", "thread_time"):
        monkeypatch.setattr(time, name, lambda: pytest.fail("a clock was read"))


def work(num_runs, num_steps):
    return Work().and_of(num_runs, num_steps, STEP_OF_A_RUN)


def test_the_work_of_a_graph_is_that_of_all_its_runs():
    both = work(20, 50).and_of(1, 7, STEP_OF_A_RUN)
    assert both == Work(21, 20 * 50 + 7, 2 * 50 + 7, 100 * 1007, *[1000 * 1007] * 2)
    assert both.saved_s == pytest.approx(0.01 * 107 + 0.02 * 1007)
    assert str(work(20, 50)) == "20 runs, 1,000 steps of 0.001 Mflop and 100 elements"


@pytest.mark.usefixtures("no_clock")
@pytest.mark.parametrize(
    ("works", "num_cores", "on_disk", "expected"),
    [
        pytest.param({"a": (10, 50)}, 1, (), {"a": 1}, id="saves 10.5 s, costs 10"),
        pytest.param({"a": (10, 47)}, 1, (), {"a": 0}, id="saves 9.87 s"),
        pytest.param({"a": (10, 50)}, 2, (), {"a": 0}, id="another core waits: costs 20"),
        pytest.param({"a": (10, 96)}, 2, (), {"a": 1}, id="saves 20.16 s, costs 20"),
        pytest.param({"a": (1, 400)}, 8, (), {"a": 1}, id="one run needs no other core"),
        pytest.param({"a": (10, 50), "b": (10, 50)}, 2, (), {"a": 1, "b": 1}, id="none waits"),
        pytest.param({"a": (10, 90), "b": (9, 5)}, 2, (), {"a": 0, "b": 0}, id="all: saves 19.85"),
        pytest.param({"a": (10, 91), "b": (9, 5)}, 2, (), {"a": 1, "b": 1}, id="all: saves 20.06"),
        pytest.param({"a": (10, 48), "b": (1, 1)}, 1, {"b"}, {"a": 0, "b": 0}, id="all: costs 11"),
        pytest.param({"a": (10, 53), "b": (1, 1)}, 1, {"b"}, {"a": 1, "b": 1}, id="saves 11.16"),
        pytest.param({"a": (10, 5)}, 2, {"a"}, {"a": 1}, id="on disk: costs 1, saves 1.05"),
        pytest.param({"a": (10, 4)}, 2, {"a"}, {"a": 0}, id="on disk: saves 0.84"),
        pytest.param({"a": (10, 5)}, 2, {"b"}, {"a": 0}, id="another graph on disk"),
        pytest.param({}, 2, (), {}, id="nothing"),
    ],
)
def test_choices(works, num_cores, on_disk, expected):
    works = {graph: work(*numbers) for graph, numbers in works.items()}
    steppings = choose(works, num_cores, on_disk)
    assert {graph: stepping.is_compiled for graph, stepping in steppings.items()} == expected


def test_reasons_are_counted_numbers():
    (stepping,) = choose({"a": work(10, 50)}, 1).values()
    assert stepping.why == (
        "10 runs, 500 steps of 0.001 Mflop and 100 elements: compiled steps save the study "
        "10.5 s, and its 1 graph cost 10 s"
    )
    (stepping,) = choose({"a": work(10, 50)}, 1, {"a"}).values()
    assert stepping.why.endswith("save the study 10.5 s, and its 1 graph cost 1 s")


def runs(num, num_steps, **changes):
    return [tiny(seed=i, train={"num_steps": num_steps}, **changes) for i in range(num)]


def record(config, way):
    """What of a record is read."""
    return SimpleNamespace(operations={LIKE: config.stack_key, STEP: way})


def chosen(configs, records=(), device=CPU, num_cores=1, times=1.0, name="auto"):
    return COMPILE[name](Study(configs, device, num_cores, times), records)


@pytest.mark.usefixtures("no_clock")
def test_variants_of_a_study_step_in_one_way_so_that_their_times_compare():
    configs = [*runs(10, 60), *runs(10, 40, objective="elbo_mc")]
    steppings = chosen(configs)
    assert {s.way for s in steppings.values()} == {"compiled or eager"}
    assert in_words(configs, steppings) == "2 of 2 variants are compiled, to 2 graphs"
    first, second = explained(configs, steppings)
    assert first.startswith("compiled or eager: elbo (bernoulli): 10 runs, 600 steps")
    assert second.startswith("compiled or eager: elbo_mc (bernoulli): 10 runs, 400 steps")
    fewer = [*runs(10, 50), *runs(10, 40, objective="elbo_mc")]
    assert {s.way for s in chosen(fewer).values()} == {"eager"}


def test_runs_that_are_added_later_choose_alike():
    few, many = runs(9, 50), runs(19, 50)
    assert not chosen(few)[few[0].stack_key].is_compiled
    assert chosen(many)[many[0].stack_key].is_compiled
    for way, is_compiled in (("eager", False), ("compiled", True)):
        for configs in (few, many):
            alone = chosen(configs)[few[0].stack_key]
            stepping = chosen(configs, [record(few[0], way)])[few[0].stack_key]
            assert stepping.is_compiled == is_compiled
            same = alone.is_compiled == is_compiled
            assert stepping.why == (alone.why if same else "as the runs like it that are recorded")


def test_records_of_before_and_of_other_graphs_say_nothing():
    configs = runs(10, 50)
    others = [SimpleNamespace(operations={STEP: "eager"}), record(runs(1, 9)[0], "eager")]
    assert chosen(configs, others)[configs[0].stack_key].is_compiled


def test_a_sweep_counts_the_trials_to_come():
    batch = runs(4, 50)
    assert not chosen(batch)[batch[0].stack_key].is_compiled
    assert chosen(batch, times=2.5)[batch[0].stack_key].is_compiled


def test_a_machine_that_cannot_compile_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(compiled, "problem", lambda: "there is no compiler")
    configs = [*runs(10, 500), *runs(10, 500, objective="elbo_mc")]
    steppings = chosen(configs)
    assert {(s.way, s.why) for s in steppings.values()} == {("eager", "there is no compiler")}
    assert [r.getMessage() for r in caplog.records] == [
        "training steps are eager: there is no compiler"
    ]
    assert in_words(configs, steppings) == "0 of 2 variants are compiled"


def test_what_is_asked_for_is_done(no_clock):
    configs = runs(1, 1)
    for name, way in (("always", "compiled"), ("never", "eager")):
        assert {s.way for s in chosen(configs, name=name).values()} == {way}


def test_a_gpu_captures_whatever_the_work():
    assert {s.way for s in chosen(runs(1, 1), device=CUDA).values()} == {"compiled or eager"}


def test_a_step_that_cannot_be_counted_is_eager(monkeypatch, caplog):
    def fails(config):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(choosing, "step_work", fails)
    configs = runs(10, 500)
    assert {s.way for s in chosen(configs).values()} == {"eager"}
    assert "on purpose" in caplog.text


def test_the_choice_is_in_the_record_and_in_no_id(tmp_path):
    configs = resolve(runs(2, 3))
    vb.run(configs, tmp_path / "auto", executor="inline", timings=False)
    vb.run(configs, tmp_path / "never", executor="inline", timings=False, compiles="never")
    auto, never = (list(results.records(tmp_path / name)) for name in ("auto", "never"))
    assert [r.run for r in auto] == [r.run for r in never]
    for records, why in ((auto, "2 runs, 6 steps of 0.001 Mflop"), (never, "asked for")):
        for r in records:
            assert r.operations[STEP] == "eager"
            assert r.operations[WHY].startswith(why)
            assert r.operations[LIKE] == configs[0].stack_key
    again = chosen(resolve(runs(5000, 3)), results.records(tmp_path / "auto"))
    assert {s.why for s in again.values()} == {"as the runs like it that are recorded"}
