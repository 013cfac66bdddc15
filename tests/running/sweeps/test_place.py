"""In which order the runs of a round are trained."""

from pathlib import Path

from tests.running.test_schedule import in_words, stack
from vaebench.running import schedule
from vaebench.running.cluster import NO_CLUSTER
from vaebench.running.sweeps.place import Place
from vaebench.training.stepping import compiled


def test_the_graph_of_a_kind_is_looked_for_once_in_a_session(monkeypatch):
    monkeypatch.setattr(compiled, "problem", lambda: "")
    monkeypatch.setattr(schedule, "graphs_on_disk", lambda kinds: set())
    place = Place(Path(), "s", "local", 1, NO_CLUSTER, (), lambda *arguments: iter(()))
    session = place.session()
    rounds = [
        ([stack("a", 1), stack("a", 3)], ["graph a", "a 3", "a 1"]),
        ([stack("a", 1), stack("a", 2)], ["a 2", "a 1"]),
        ([stack("a", 1), stack("b", 2)], ["graph b", "graph a", "b 2", "a 1"]),
    ]
    for jobs, expected in rounds:
        assert in_words(place._ordered(jobs, session)) == expected
