"""What is estimated of a grading's time: its short run, scaled by its work."""

import dataclasses

import pytest
import torch

from vaebench.core.errors import InputError
from vaebench.data import Dataset, Images, Part
from vaebench.evaluation import GRADINGS, Subject, budget
from vaebench.evaluation.grading import Grading
from vaebench.ops.noise import Noise

N, P = 480, 4
NOISE = Noise((1,))


class Clock:
    """Time that passes only where work is done."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def subject(num_images=1000):
    part = Part(Images(torch.zeros(N, P)), torch.zeros(N, dtype=torch.int64))
    dataset = Dataset("d", (2, 2), "none", "f", train=part, valid=part, test=part)
    return Subject(None, dataset, NOISE, num_images=num_images)


@pytest.fixture
def register(monkeypatch):
    """Registers a grading for one test."""

    def add(**facts):
        entry = Grading(**{"name": "g", "source": "test", **facts})
        monkeypatch.setitem(GRADINGS._entries, "g", entry)

    return add


def test_time_grows_with_the_images_and_what_is_paid_once_is_paid_once(register):
    clock, calls = Clock(), []

    def grade(subject):
        calls.append(len(subject.dataset.test.x))
        clock.now += 2.0 * (len(calls) == 1) + 0.01 * len(subject.dataset.test.x)
        return []

    register(grade=grade)
    assert budget(subject(), {"g": {}}, clock)["g"] == pytest.approx(2.0 + 0.01 * N)
    assert calls == [48, 48]


def test_time_grows_with_the_declared_work_from_small_scalars(register):
    clock, seen = Clock(), []

    def grade(subject, *, num_steps):
        seen.append((num_steps, subject.num_images))
        clock.now += 0.003 * num_steps * subject.num_images
        return []

    register(
        grade=grade,
        work=lambda subject, *, num_steps: num_steps * subject.num_images,
        small={"num_steps": 7},
    )
    assert budget(subject(), {"g": {"num_steps": 500}}, clock)["g"] == pytest.approx(1500.0)
    assert seen == [(7, 48)] * 2


def test_a_short_run_is_never_longer_than_the_run(register):
    clock, seen = Clock(), []

    def grade(subject, *, num_steps):
        seen.append((num_steps, subject.num_images))
        return []

    register(grade=grade, small={"num_steps": 7})
    assert budget(subject(num_images=5), {"g": {"num_steps": 3}}, clock)["g"] == 0.0
    assert seen == [(3, 5)] * 2


def test_a_part_keeps_its_first_images_with_their_labels(register):
    seen = []

    def grade(few):
        seen.append(few.dataset)
        return []

    register(grade=grade)
    whole = subject()
    y = torch.arange(N)
    part = dataclasses.replace(whole.dataset.test, y=y)
    budget(
        dataclasses.replace(whole, dataset=dataclasses.replace(whole.dataset, test=part)),
        {"g": {}},
        Clock(),
    )
    assert seen[0].test.y.tolist() == list(range(48))
    assert len(seen[0].train.x) == N


def test_what_is_refused_is_refused_before_it_is_timed(register):
    called = []
    register(grade=called.append, refuses=lambda subject, **hyper: "no factors: choose shapes")
    with pytest.raises(InputError, match="'g' is refused: no factors"):
        budget(subject(), {"g": {}}, Clock())
    assert not called
