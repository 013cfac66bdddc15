"""Listeners hear all of a study, and no fault of theirs costs it anything."""

import warnings

import pytest

from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError, InputWarning
from vaebench.running.harness import train_all
from vaebench.running.listeners import LISTENERS, audience_of, opened


class Notes:
    """Notes all that it hears."""

    def __init__(self):
        self.heard, self.points, self.records = [], {}, {}

    def run_started(self, config):
        self.heard.append(("started", config.id))

    def curve_point(self, run, point):
        self.heard.append(("point", run))
        self.points.setdefault(run, []).append(dict(point))

    def run_recorded(self, record):
        self.heard.append(("recorded", record.run))
        self.records[record.run] = record

    def close(self):
        self.heard.append(("closed", ""))


class Broken(Notes):
    def curve_point(self, run, point):
        raise ConnectionError("the server is away")

    def run_recorded(self, record):
        raise AssertionError("it was left out before")


@pytest.fixture(scope="module")
def notes_and_folder(tmp_path_factory, tiny_data):
    """What a listener hears of two runs, beside one that raises; and the folder of the runs."""
    out, notes = tmp_path_factory.mktemp("out"), Notes()
    configs = resolve([tiny(tiny_data, seed=seed) for seed in range(2)])
    with warnings.catch_warnings(record=True) as said, audience_of([Broken(), notes]) as audience:
        warnings.simplefilter("always")
        train_all(configs, out, "s", executor="inline", audience=audience)
    return notes, out, said


def test_a_listener_hears_each_run_from_its_start_to_its_record(notes_and_folder):
    notes, out, _ = notes_and_folder
    for record in results.records(out):
        kinds = [kind for kind, run in notes.heard if run == record.run]
        assert kinds == ["started", *["point"] * len(record.curves["step"]), "recorded"]
        assert notes.records[record.run].metrics == record.metrics
        heard = {name: [p[name] for p in notes.points[record.run]] for name in record.curves}
        assert heard == record.curves
    assert notes.heard[-1] == ("closed", "")


def test_one_that_raises_is_said_once_and_left_out_and_the_runs_are_done(notes_and_folder):
    _, out, said = notes_and_folder
    (warning,) = said
    assert issubclass(warning.category, InputWarning)
    assert str(warning.message) == (
        "the listener Broken is left out from here on, the runs are not: it raised "
        "ConnectionError: the server is away"
    )
    assert [record.status for record in results.records(out)] == ["done", "done"]


def test_what_one_prints_leaves_standard_output_alone(capsys):
    class Chatty(Notes):
        def close(self):
            print("uploading...")

    with audience_of([Chatty()]):
        pass
    assert capsys.readouterr() == ("", "uploading...\n")


def test_an_interruption_is_no_fault_of_a_listener():
    class Stopped(Notes):
        def run_started(self, config):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), audience_of([Stopped()]) as audience:
        audience.run_started(None)


def test_a_text_names_a_listener_and_its_target(monkeypatch):
    monkeypatch.setitem(LISTENERS._entries, "echo", lambda target: target)
    assert opened(["echo:http://host:5000", "echo"]) == ["http://host:5000", ""]
    with pytest.raises(InputError, match="unknown listener 'tensorbord'; did you mean"):
        opened(["tensorbord:out"])
    monkeypatch.setitem(LISTENERS._entries, "number", float)
    with pytest.raises(InputError, match="number must open; it raised ValueError: could not conv"):
        opened(["number:ten"])
