"""Bundles of strangers: what is damaged, changed or hostile is refused in a line with its name."""

import errno
import io
import json
import os
import pickle
import zipfile

import msgspec
import numpy as np
import pytest

from tests.support.bundles import bundle_of, changed, manifest, zipped
from vaebench import results
from vaebench.config import RunConfig
from vaebench.core.errors import InputError, StorageError
from vaebench.league import RefusedError, opened
from vaebench.league import manifest as rules
from vaebench.league.manifest import MANIFEST, MEMBER, member


def first(contents, part):
    return min(name for name in contents if name.startswith(part))


def refusal(path, tmp_path):
    folder = tmp_path / "opened"
    with pytest.raises(RefusedError) as caught:
        opened(path, folder)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message and str(folder) not in message
    return message


def test_a_bundle_is_the_folder_that_it_was_made_of(trained, bundle, tmp_path):
    submission = opened(bundle, tmp_path / "opened")
    assert submission.name == "mine"
    assert submission.records == list(results.records(trained))
    for record in submission.records:
        for part in ("weights", "examples"):
            path = results.file_of(submission.folder, part, record.run)
            assert path.read_bytes() == results.file_of(trained, part, record.run).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *("../runs/0.json", "/etc/passwd", "runs/../../x.json", "plugins/../x.py", "plugins/.x.py"),
        *("runs\\0000000000000000.json", "weights/0000000000000000.pkl", "plugins//x.py"),
        *("runs/0000000000000000.json\n", "plugins/a/./x.py", "other/x.py", "plugins/x.so"),
    ],
)
def test_no_member_leads_elsewhere(contents, tmp_path, name):
    assert not MEMBER.fullmatch(name)
    said = manifest(contents)
    members = {**said.members, name: member(b"x")}
    hostile = msgspec.json.encode(msgspec.structs.replace(said, members=members))
    path = zipped(tmp_path / "a.zip", {**contents, MANIFEST: hostile, name: b"x"})
    assert "no member may be called" in refusal(path, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]


def test_a_member_that_the_manifest_does_not_have_is_refused(contents, tmp_path):
    path = zipped(tmp_path / "a.zip", {**contents, "plugins/x.py": b""})
    assert "those of its manifest" in refusal(path, tmp_path)
    lacking = {name: text for name, text in contents.items() if name != first(contents, "weights/")}
    assert "those of its manifest" in refusal(zipped(tmp_path / "b.zip", lacking), tmp_path)


def test_a_member_of_another_hash_is_refused(contents, tmp_path):
    name = first(contents, "examples/")
    path = zipped(tmp_path / "a.zip", {**contents, name: contents[name][::-1]})
    assert f"{name} must be what its manifest says" in refusal(path, tmp_path)


def test_no_more_is_unpacked_than_is_said(contents, tmp_path):
    name = first(contents, "runs/")
    path = zipped(tmp_path / "a.zip", {**contents, name: contents[name] + b" " * 1000})
    assert "bytes; it has more" in refusal(path, tmp_path)


def test_a_bundle_has_bounds(contents, bundle, tmp_path, monkeypatch):
    for module in ("opening", "packing"):
        monkeypatch.setattr(f"vaebench.league.{module}.MOST_BYTES", 1 << 12)
    assert "MiB; they have more" in refusal(bundle, tmp_path)


def test_arrays_that_grow_when_they_are_read_are_refused(contents, tmp_path, monkeypatch):
    """Compressed zeros: a few bytes in the bundle, and many in memory."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, nll=np.zeros(1 << 20))
    grown = {**contents, first(contents, "examples/"): buffer.getvalue()}
    monkeypatch.setattr("vaebench.league.opening.MOST_BYTES", 1 << 20)
    message = refusal(bundle_of(tmp_path / "a.zip", grown), tmp_path)
    assert "must have at most 1 MiB unpacked" in message


@pytest.mark.parametrize("kept", [0, 10, 1000, -30])
def test_a_torn_file_is_refused(bundle, tmp_path, kept):
    path = tmp_path / "torn.zip"
    path.write_bytes(bundle.read_bytes()[:kept])
    message = refusal(path, tmp_path)  # the end of a file within it may look like its own
    assert "must be a bundle" in message or "cannot be read, it is damaged" in message


def test_a_directory_of_a_later_zip_is_refused(bundle, tmp_path):
    content = bytearray(bundle.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 99
    path = tmp_path / "later.zip"
    path.write_bytes(content)
    assert "must be a bundle" in refusal(path, tmp_path)


def test_what_is_no_bundle_is_refused(tmp_path):
    assert "must be a bundle" in refusal(tmp_path / "missing.zip", tmp_path)
    assert "must be a bundle" in refusal(tmp_path, tmp_path)
    foreign = zipped(tmp_path / "foreign.zip", {"readme.txt": b"hello"})
    assert "its manifest.json cannot be read" in refusal(foreign, tmp_path)
    for text in (b"", b"[]", b'{"format": "x"}', b"[" * 100_000, b'{"format": 1}', b"\xff"):
        damaged = zipped(tmp_path / "damaged.zip", {MANIFEST: text})
        assert "its manifest.json is damaged" in refusal(damaged, tmp_path)


def test_a_later_format_is_named(contents, tmp_path):
    later = json.dumps({"format": rules.FORMAT + 1}).encode()
    path = zipped(tmp_path / "a.zip", {**contents, MANIFEST: later})
    assert "must be of format 1; it is of 2" in refusal(path, tmp_path)


@pytest.mark.parametrize(
    "says, reason",
    [
        ({"studies": ["other"]}, "its manifest must say what its records say"),
        ({"data": {"digits": ["0" * 16]}}, "its manifest must say what its records say"),
        ({"name": "a\x1b[31m"}, "printable characters"),
        ({"plugins": ["plugins/x.py"]}, "must be a member"),
    ],
)
def test_a_manifest_that_says_otherwise_is_refused(contents, tmp_path, says, reason):
    path = tmp_path / "a.zip"
    name = says.pop("name", None)
    if name:
        said = msgspec.structs.replace(manifest(contents), name=name)
        zipped(path, {**contents, MANIFEST: msgspec.json.encode(said)})
    else:
        bundle_of(path, contents, **says)
    assert reason in refusal(path, tmp_path)


def labelled(content, **labels):
    record = msgspec.json.decode(content, type=results.Record)
    return changed(content, labels=msgspec.structs.replace(record.labels, **labels))


def configured(content, **fields):
    record = msgspec.json.decode(content, type=results.Record)
    return changed(content, config={**record.config, **fields})


def deep(content):
    """A record whose objective has a number of more than 64 bits."""
    return configured(content, objective={"name": "elbo", "hyper": {"beta": 2**70}})


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda r: labelled(r, variant="better"), "must have the labels of its configuration"),
        (lambda r: labelled(r, seed=7), "must have the labels of its configuration"),
        (lambda r: labelled(changed(r, protocol=0), variant="better"), "must have the labels of"),
        (lambda r: configured(r, plugin="0" * 16), "must be of its configuration, which gives"),
        (lambda r: labelled(r, observation_space="x/y"), "its observation space is not"),
        (lambda r: configured(r, num_samples=2), "must be of its configuration, which gives"),
        (lambda r: changed(r, config={}), "must have a configuration that this version knows"),
        (lambda r: deep(changed(r, protocol=1)), "must be configured with numbers that a table"),
        (lambda r: configured(r, data={}), "its observation space is not"),
        (lambda r: configured(r, data=[]), "must have a configuration that this version knows"),
        (lambda r: changed(r, weights="0" * 64), "damaged, or another run's"),
        (lambda r: changed(r, run="0" * 16), "its run must be the file's name"),
    ],
)
def test_records_that_do_not_follow_from_their_configuration(contents, tmp_path, change, reason):
    name = first(contents, "runs/")
    path = bundle_of(tmp_path / "a.zip", {**contents, name: change(contents[name])})
    assert reason in refusal(path, tmp_path)


def test_what_is_no_record_is_refused(contents, tmp_path):
    said, name = manifest(contents), first(contents, "runs/")
    hashes = {**said.members, name: member(b"{")}
    damaged = msgspec.json.encode(msgspec.structs.replace(said, members=hashes))
    path = zipped(tmp_path / "a.zip", {**contents, MANIFEST: damaged, name: b"{"})
    assert f"{name} must be a record of this version" in refusal(path, tmp_path)


def test_examples_of_another_mean_are_refused(contents, tmp_path):
    name = first(contents, "examples/")
    with np.load(io.BytesIO(contents[name])) as stored:
        values = {key: stored[key] for key in stored}
    better = results.pack_examples(values | {"nll": values["nll"] - 5.0})
    path = bundle_of(tmp_path / "a.zip", {**contents, name: better})
    assert "must have its recorded mean" in refusal(path, tmp_path)
    square = results.pack_examples({"nll": np.zeros((2, 2))})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("nll.npy", b"no array")
    for content in (square, buffer.getvalue()):
        path = bundle_of(tmp_path / "b.zip", {**contents, name: content})
        assert "must be a number for each" in refusal(path, tmp_path)


class Bomb:
    def __reduce__(self):
        return os.abort, ()


def test_nothing_is_unpickled(contents, tmp_path):
    """Neither in arrays, nor in weights: the process would end."""
    name = first(contents, "examples/")
    buffer = io.BytesIO()
    np.savez(buffer, nll=np.array([Bomb()], dtype=object))
    path = bundle_of(tmp_path / "a.zip", {**contents, name: buffer.getvalue()})
    assert "plain arrays" in refusal(path, tmp_path)
    name = first(contents, "weights/")
    path = bundle_of(tmp_path / "b.zip", {**contents, name: pickle.dumps(Bomb())})
    assert f"its {name} is damaged" in refusal(path, tmp_path)


def test_parts_of_no_run_are_refused(contents, tmp_path):
    path = bundle_of(tmp_path / "a.zip", {**contents, f"weights/{'0' * 16}.pt": zip_of_nothing()})
    assert "weights must be of a run that it has" in refusal(path, tmp_path)


def zip_of_nothing():
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def test_two_runs_of_one_line_and_seed_are_refused(contents, tmp_path):
    """Ids of an earlier protocol cannot be made again, so that two records may be of one run."""
    name = first(contents, "runs/")
    twice = {
        f"runs/{digit * 16}.json": changed(contents[name], protocol=1, run=digit * 16, weights="")
        for digit in "01"
    }
    path = bundle_of(tmp_path / "a.zip", twice)
    assert "must have one run of each seed" in refusal(path, tmp_path)


def test_an_empty_bundle_is_refused(tmp_path):
    assert "must hold runs" in refusal(bundle_of(tmp_path / "a.zip", {}), tmp_path)
    assert issubclass(RefusedError, InputError)


@pytest.mark.parametrize("change", [{"seed": 7}, {"observation_space": "space"}])
def test_a_plugin_hides_no_label_that_follows_without_it(contents, tmp_path, change):
    """Else a density could be ranked among probabilities."""
    name = first(contents, "runs/")
    record = msgspec.json.decode(contents[name], type=results.Record)
    config = msgspec.convert({**record.config, "plugin": "0" * 16}, RunConfig)
    if "observation_space" in change:
        change = {"observation_space": config.observation_space.replace("mass", "density")}
    table = msgspec.to_builtins(config)
    honest = changed(contents[name], run=config.id, config=table, weights="")
    path = bundle_of(tmp_path / "a.zip", {f"runs/{config.id}.json": honest})
    assert opened(path, tmp_path / "honest").records[0].run == config.id
    forged = {f"runs/{config.id}.json": labelled(honest, **change)}
    message = refusal(bundle_of(tmp_path / "b.zip", forged), tmp_path)
    assert "must have the labels of its configuration" in message


def test_a_full_disk_is_the_fault_of_no_bundle(bundle, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StorageError, match="No space left on device: make room"):
        opened(bundle, tmp_path / "opened")
