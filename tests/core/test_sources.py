"""The user's own files: what they import, wherever the suite is started; what is known of them."""

import hashlib
import importlib
import json
import os
import random
import subprocess
import sys

import msgspec
import pytest

from tests.support import ROOT
from tests.support.labelled import dataset_of
from tests.support.runs import tiny
from vaebench.core import sources
from vaebench.core.errors import InputError
from vaebench.core.hyper import source_fingerprint
from vaebench.core.sources import surroundings
from vaebench.evaluation.samples.extractors import extractor_for
from vaebench.running import external as given
from vaebench.running.job import Job
from vaebench.running.perform import perform

REPOSITORY = ROOT


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    """Before and after, nothing is imported, as in a new process."""
    monkeypatch.setattr(surroundings, "_known", {})
    before = set(sys.modules)
    yield
    for name in {"helpers", "script_of_mine", "its_helpers"} & set(sys.modules) - before:
        del sys.modules[name]


def write(folder, **files):
    """Files by name, `__` for a folder; the path of the first."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / f"{next(iter(files))}.py"


def mark(path):
    """The fingerprint of a plugin's function f, in a process that has loaded nothing else."""
    surroundings._known.clear()
    return source_fingerprint(sources.load_file(path).f)


MINE = "import helpers\ndef f(): return helpers.value\n"

IMPORTS = {
    # how mine.py imports the file that is edited
    "a module": ("import edited as e", "edited"),
    "a name": ("import edited as e\nfrom edited import value", "edited"),
    "of its package": ("from . import edited as e", "edited"),
    "a package": ("import parts as e", "parts/__init__"),
    "a part of a package": ("import parts.edited\ne = parts.edited", "parts/edited"),
    "a member of a package": ("from parts import edited as e", "parts/edited"),
    "through another": ("import via as e", "edited"),
    "through a relative one": ("from parts import via as e", "parts/edited"),
    "of a folder without __init__": ("import bare.edited as e", "bare/edited"),
}
BESIDE = {
    "via.py": "from edited import value",
    "parts/__init__.py": "value = 1",
    "parts/via.py": "from .edited import value",
    "unused.py": "value = 1",
}


@pytest.mark.parametrize("how", IMPORTS)
def test_an_edited_file_that_a_plugin_imports_is_in_its_fingerprint(tmp_path, how):
    text, edited = IMPORTS[how]
    for folder in ("parts", "bare"):
        (tmp_path / folder).mkdir()
    for name, beside in BESIDE.items():
        (tmp_path / name).write_text(beside)
    for name in ("edited", "parts/edited", "bare/edited"):
        (tmp_path / f"{name}.py").write_text("value = 1")
    plugin = tmp_path / "mine.py"
    plugin.write_text(f"{text}\ndef f(): return e.value")
    before = mark(plugin)
    (tmp_path / "unused.py").write_text("value = 2")
    assert mark(plugin) == before
    (tmp_path / f"{edited}.py").write_text("value = 2")
    assert mark(plugin) != before
    assert sources.load_file(plugin).f() == 2


CALLS = {
    "importlib.import_module": "importlib.import_module('edited')",
    "a name of it": "import_module('edited')",
    "a relative one": "import_module('.edited', __package__)",
    "the built-in": "__import__('edited')",
    "a part of a package": "import_module(name='parts.edited')",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_import_by_a_call_counts_where_it_names_the_module(tmp_path, call):
    text = f"def f(): return {call}.value"
    plugin = write(tmp_path, mine=text, edited="", parts__edited="", unused="")
    before = mark(plugin)
    (tmp_path / "unused.py").write_text("value = 2")
    assert mark(plugin) == before
    for edited in ("edited.py", "parts/edited.py"):
        (tmp_path / edited).write_text("value = 2")
    assert mark(plugin) != before


def test_a_plugin_that_imports_nothing_of_the_users_is_known_by_its_text_alone(tmp_path):
    plugin = write(tmp_path, mine="import math, torch, vaebench, json.decoder\ndef f(): pass")
    assert mark(plugin) == hashlib.sha256(plugin.read_bytes()).hexdigest()[:12]


def test_the_fingerprint_is_of_texts_not_of_places_dates_or_order(tmp_path):
    files = {
        "mine": "import helpers, other\ndef f(): pass",
        "helpers": "",
        "other": "import helpers",
    }
    one, two = (write(tmp_path / name, **files) for name in ("a", "b"))
    os.utime(two.with_name("helpers.py"), (1, 1))
    beside = write(tmp_path / "b", beside=files["mine"])
    assert mark(one) == mark(two)
    surroundings._known.clear()
    sources.load_file(beside)
    assert source_fingerprint(sources.load_file(two).f) == mark(two)


def test_an_edit_while_it_runs_changes_neither_what_runs_nor_what_is_said_of_it(tmp_path):
    lazy = "def f():\n    import helpers\n    return helpers.value\n"
    plugin = write(tmp_path, mine=lazy, helpers="value = 1")
    function = sources.load_file(plugin).f
    before = source_fingerprint(function)
    sources.check_unchanged(plugin)
    write(tmp_path, helpers="value = 2")
    assert function() == 1
    assert source_fingerprint(function) == before
    with pytest.raises(InputError, match=r"helpers.py must stay as it was.*start Python again"):
        sources.check_unchanged(plugin)
    assert mark(plugin) != before


def test_an_edit_of_equal_length_within_a_second_runs(tmp_path):
    plugin = write(tmp_path, mine=MINE, helpers="value = 1")
    os.utime(tmp_path / "helpers.py", (1e9, 1e9))
    mark(plugin)
    write(tmp_path, helpers="value = 2")
    os.utime(tmp_path / "helpers.py", (1e9, 1e9))
    mark(plugin)
    assert sources.load_file(plugin).f() == 2


def test_two_folders_have_helpers_of_one_name(tmp_path, monkeypatch):
    """Nor do they get those of the working directory."""
    write(tmp_path, helpers="value = 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    one, two = (
        sources.load_file(write(tmp_path / str(n), mine=MINE, helpers=f"value = {n}"))
        for n in (1, 2)
    )
    assert [one.f(), two.f()] == [1, 2]
    assert importlib.import_module("helpers").value == 0


def test_a_file_called_like_an_installed_module_is_met_by_its_neighbours_only(tmp_path):
    path = list(sys.path)
    text = "import random, tabnanny\ndef f(): return random.value + tabnanny.value"
    plugin = write(tmp_path, mine=text, random="value = 1", tabnanny="value = 2")
    assert sources.load_file(plugin).f() == 3
    assert importlib.import_module("random") is random
    assert hasattr(importlib.import_module("tabnanny"), "check")
    assert sys.path == path


def test_what_the_script_has_imported_already_is_one_module_and_counts(tmp_path, monkeypatch):
    plugin = write(tmp_path, mine=MINE, helpers="value = []")
    alone = mark(plugin)
    surroundings._known.clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    helpers = importlib.import_module("helpers")
    function = sources.load_file(plugin).f
    assert function() is helpers.value
    assert source_fingerprint(function) == alone


def test_functions_of_a_module_that_python_loaded_count_what_it_imports(tmp_path, monkeypatch):
    write(tmp_path, script_of_mine="import its_helpers\ndef f(): pass", its_helpers="value = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    function = importlib.import_module("script_of_mine").f
    before = source_fingerprint(function)
    surroundings._known.clear()
    write(tmp_path, its_helpers="value = 2")
    assert source_fingerprint(function) != before


def test_a_function_wrapped_by_a_helper_is_known_by_its_own_file(tmp_path):
    helpers = "import functools\ndef wrapped(g): return functools.wraps(g)(lambda: g())"
    text = "from helpers import wrapped\n@wrapped\ndef f(): return {}"
    before = mark(write(tmp_path, mine=text.format(1), helpers=helpers))
    assert mark(write(tmp_path, mine=text.format(2), helpers=helpers)) != before


def test_a_file_that_fails_is_read_again_when_it_has_been_corrected(tmp_path):
    plugin = write(tmp_path, mine=MINE, helpers="value = 1 / 0")
    with pytest.raises(InputError, match=r"mine.py must run; it raised ZeroDivisionError"):
        sources.load_file(plugin)
    write(tmp_path, helpers="value = 1")
    assert sources.load_file(plugin).f() == 1


def test_files_that_import_each_other_end(tmp_path):
    plugin = write(tmp_path, mine="import helpers\ndef f(): return 1", helpers="import mine")
    assert sources.load_file(plugin).f() == 1


def test_an_extractor_counts_what_it_imports_and_is_read_anew(tmp_path):
    text = "import helpers\ndef features(x): return helpers.scale * x.flatten(1)"
    path = write(tmp_path, mine=text, helpers="scale = 1")
    one = extractor_for(dataset_of(), f"{path}:features")
    write(tmp_path, helpers="scale = 3")
    two = extractor_for(dataset_of(), f"{path}:features")
    x = dataset_of().test.x
    assert one.fingerprint != two.fingerprint
    assert bool((two.features(x) == 3 * one.features(x)).all())


def test_a_model_from_elsewhere_imports_what_lies_beside_it(tmp_path):
    text = "from nets import encode, decode\nlikelihood, data = 'bernoulli', 'digits'"
    path = write(tmp_path, model=text, nets="encode = decode = len")
    assert given.read(path).encode is len


def test_a_worker_refuses_runs_that_are_named_by_other_code():
    """A plugin that was edited after the study was read, before the worker loaded it."""
    config = msgspec.structs.replace(tiny(), plugin="0" * 12)
    (ended,) = perform(Job((config,), "s"))
    assert ended.record.status == "failed"
    assert "edited after the study was read. Run the study again" in ended.record.reason


PLUGIN = """
import vaebench as vb
from helpers import loss


@vb.objective(source="this test", bound="none")
def mine(t: vb.Terms):
    return loss(t)
"""
HELPERS = """
def loss(t):
    from late import factor
    return t.distortion + factor * t.rate
"""
STUDY = """
name = "s"
[base]
objective = "mine"
likelihood = "bernoulli"
data = { binarisation = "threshold" }
model = { latent_dim = 2, widths = [4] }
train = { num_steps = 4, batch_size = 8 }
evaluate = { num_samples = 2, num_images = 20 }
"""


def test_a_study_runs_in_workers_from_any_folder_and_again_after_an_edit(tmp_path):
    plugin = write(tmp_path / "plugins", mine=PLUGIN, helpers=HELPERS, late="factor = 1.0")
    (tmp_path / "s.toml").write_text(STUDY)
    settings = {"workers": 1, "plugins": [str(plugin)], "timings": False, "compiles": "never"}
    where = (str(tmp_path / "s.toml"), str(tmp_path / "out"))
    code = f"import vaebench as vb; vb.run(*{where}, **{settings})"
    command = [sys.executable, "-c", code]
    (tmp_path / "elsewhere").mkdir()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    for factor in ("1.0", "2.0"):
        write(tmp_path / "plugins", late=f"factor = {factor}")
        subprocess.run(command, cwd=tmp_path / "elsewhere", env=environment, check=True)
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*.json")]
    assert [record["status"] for record in records] == ["done", "done"]
