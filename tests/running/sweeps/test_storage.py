"""Databases beside the journal: the same trials, and what other programs see of them."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.sweeps import KilledError, play, searches, told, variants
from vaebench.config import Choice
from vaebench.core.errors import InputError
from vaebench.running.sweeps.storage import closing, open_database, open_journal

HALVING = {"pruner": Choice("halving", {"factor": 2, "first": 0.1})}


def binary(name):
    """A program of PostgreSQL, where this machine has one."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = shutil.which(name) or (str(beside[-1]) if beside else None)
    if path is None:
        pytest.skip(f"needs PostgreSQL: there is no {name}")
    return path


@pytest.fixture(scope="module")
def postgres():
    """The URL of a server of our own, on a socket in a folder, which ends with the tests."""
    folder, user = Path(tempfile.mkdtemp(prefix="vaebench-postgres-")), {}
    if os.geteuid() == 0:  # it refuses to run as root
        os.chmod(folder, 0o777)
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    data = folder / "data"
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    calls = (
        [binary("initdb"), "-D", data, "-U", "tester", "-A", "trust"],
        [binary("pg_ctl"), "-D", data, "-w", "-l", folder / "log", "-o", options, "start"],
    )
    for call in calls:
        subprocess.run(call, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    yield f"postgresql://tester@/postgres?host={folder}"
    stop = [binary("pg_ctl"), "-D", data, "-m", "immediate", "stop"]
    subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    shutil.rmtree(folder)


def test_postgresql_gives_the_same_trials_as_the_journal(postgres, tmp_path, monkeypatch):
    """Killed in the middle, too."""
    from optuna.storages import RDBStorage

    journal = searches(open_journal(tmp_path / "a"), variants(2, "beta_elbo", "elbo"), **HALVING)
    play(journal)
    two = variants(2, "beta_elbo", "elbo")
    write, left = RDBStorage.set_trial_system_attr, iter(range(8))

    def counted(*arguments, **named):
        write(*arguments, **named)
        if next(left, None) is None:
            raise KilledError

    with monkeypatch.context() as patch, closing(open_database(postgres)) as storage:
        patch.setattr(RDBStorage, "set_trial_system_attr", counted)
        with pytest.raises(KilledError):
            play(searches(storage, two, **HALVING))
    with closing(open_database(postgres)) as storage:
        resumed = searches(storage, two, **HALVING)
        play(resumed)
        assert told(resumed) == told(journal)


def test_several_variants_share_a_storage(tmp_path):
    import optuna

    storage = open_journal(tmp_path / "a")
    play(searches(storage, variants(2, "beta_elbo", "elbo")))
    assert optuna.get_all_study_names(storage) == ["beta_elbo(beta=4)", "elbo"]


def test_a_journal_that_was_cut_short_is_mended_and_one_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "sweep.journal"
    play(searches(open_journal(path), variants(1)))
    content = path.read_bytes()
    path.write_bytes(content + content[:40])
    open_journal(path)
    assert path.read_bytes() == content
    for damage in (b"\0\xff\n", b"[]\n", b'{"mine": 1}\n'):
        path.write_bytes(content + damage)
        with pytest.raises(InputError, match=rf"{path} must hold trials .* damaged .*: put a copy"):
            open_journal(path)
        assert path.read_bytes() == content + damage
