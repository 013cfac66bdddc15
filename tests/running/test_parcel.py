"""The files of a study, on a machine that has none of them."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.core import plugins
from vaebench.core.errors import InputError
from vaebench.core.sources import surroundings
from vaebench.data import load
from vaebench.objectives import OBJECTIVES
from vaebench.running import parcel
from vaebench.running.events import Recorded
from vaebench.running.executors import on_ray
from vaebench.running.job import Job
from vaebench.running.parcel import DATA, pack, unpacked
from vaebench.running.perform import within_root

PLUGIN = """
import vaebench as vb
from helpers import total


@vb.objective(source="this test", bound="none")
def carried(t: vb.Terms):
    return total(t)
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The temporary folder of the other machine."""
    folder = tmp_path / "there"
    folder.mkdir()
    monkeypatch.setattr(parcel.tempfile, "gettempdir", lambda: str(folder))
    return folder


@pytest.fixture
def home(tmp_path, tiny_npz, monkeypatch):
    """A folder of the coordinator, with data, an extractor, and a plugin that imports another file.

    The coordinator works in it.
    """
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    shutil.move(tiny_npz, folder / "data" / "tiny.npz")
    (folder / "mine.py").write_text("def features(x):\n    return x.flatten(1)[:, :4]\n")
    (folder / "carried.py").write_text(PLUGIN)
    (folder / "helpers.py").write_text("def total(t):\n    return t.distortion + t.rate\n")
    monkeypatch.chdir(folder)
    yield folder
    OBJECTIVES._entries.pop("carried", None)
    surroundings._known.clear()


def test_a_job_needs_no_file_where_it_was_packed(home, there, tmp_path, monkeypatch):
    """Data, extractor and plugin by relative paths; the coordinator's folder is gone by then."""
    plugin = str(home / "carried.py")
    plugins.load_plugins([plugin])
    settings = {"num_samples": 5, "num_images": 8, "extractor": "mine.py:features"}
    config = tiny("data/tiny.npz", objective="carried", evaluate=settings)
    (config,) = resolve([config])
    job = Job((config,), "s", plugins=(plugin,), cwd=Path.cwd())
    packed = on_ray._packed([job])
    assert {path.name for path in packed.files} == {
        *("tiny.npz", "mine.py", "carried.py", "helpers.py")
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    shutil.rmtree(home)
    OBJECTIVES._entries.pop("carried")
    surroundings._known.clear()  # as in a new process
    events = list(on_ray._stream(job, packed, on_ray.__version__))
    (record,) = (event.record for event in events if isinstance(event, Recorded))
    assert (record.status, record.reason) == ("done", "")
    assert record.run == config.id
    assert record.config == msgspec.to_builtins(config), "as it was written"
    assert list(elsewhere.iterdir()) == []


def test_a_data_set_by_name_is_found_by_its_name(home, there, monkeypatch):
    (home / "data" / "tiny.npz").rename(home / "data" / "mnist.npz")
    monkeypatch.setenv("VAEBENCH_DATA", str(home / "data"))
    packed = pack([tiny("mnist")], (), home)
    assert list(packed.files) == [DATA / "mnist.npz"]
    content = (home / "data" / "mnist.npz").read_bytes()
    assert (unpacked(packed) / DATA / "mnist.npz").read_bytes() == content


def test_a_folder_of_arrays_travels_whole(home, there):
    folder = home / "data" / "mine"
    folder.mkdir()
    for name in ("x_train", "x_test"):
        np.save(folder / f"{name}.npy", np.eye(20, dtype=np.uint8))
    packed = pack([tiny("data/mine/")], (), home)
    assert {path.name for path in packed.files} == {"x_train.npy", "x_test.npy"}
    root = unpacked(packed)
    assert len(load(f"{root / within_root(folder)}/", "static").test) == 20


def test_what_is_computed_takes_no_file(home, there):
    assert not pack([tiny("digits")], (), home).files


def test_a_parcel_is_unpacked_once_and_another_one_beside_it(home, there):
    one = pack([tiny("data/tiny.npz")], (), home)
    (written,) = (unpacked(one) / path for path in one.files)
    stamp = written.stat().st_mtime_ns
    assert unpacked(one) == unpacked(pack([tiny("data/tiny.npz")], (), home))
    assert written.stat().st_mtime_ns == stamp
    (home / "data" / "tiny.npz").write_bytes(b"other")
    assert unpacked(pack([tiny("data/tiny.npz")], (), home)) != unpacked(one)
    assert len(list(there.iterdir())) == 2, "and nothing unfinished"


def test_what_cannot_be_written_leaves_nothing_behind(home, there, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    packed = pack([tiny("data/tiny.npz")], (), home)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        unpacked(packed)
    assert not list(there.iterdir())


def test_a_folder_of_another_user_is_refused(home, there, monkeypatch):
    packed = pack([tiny("data/tiny.npz")], (), home)
    root = unpacked(packed)
    uid = root.stat().st_uid
    monkeypatch.setattr(parcel.os, "getuid", lambda: uid + 1)
    root.rename(there / f"vaebench-{uid + 1}-{packed.digest}")
    with pytest.raises(InputError, match="must be yours; it is another user's: remove it on this"):
        unpacked(packed)
