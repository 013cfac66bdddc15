"""Data files as strangers write them: each fault is one line that names the file and the member."""

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vaebench.cli import main
from vaebench.core.errors import InputError
from vaebench.data import load, lookup, publishers

X = np.random.default_rng(0).random((12, 4, 4)).astype(np.float32)
LZMA, BZIP2, DEFLATED = zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED


def npy(array, **header):
    """The bytes of a .npy, its header changed after it was filled in."""
    out = io.BytesIO()
    np.save(out, array)
    content = out.getvalue()
    if not header:
        return content
    fields = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    text = (repr(fields) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + array.tobytes()


def zipped(content, method=zipfile.ZIP_STORED, name="x_train.npy"):
    """An .npz with a good x_test beside a member of any content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr(name, content)
        file.writestr("x_test.npy", npy(X))
    return out.getvalue()


def spoilt(method):
    """The compressed bytes of the first member overwritten in the middle."""
    content = bytearray(zipped(npy(X), method))
    start = 30 + len("x_train.npy") + 20
    content[start : start + 200] = b"\xff" * 200
    return bytes(content)


def patched(content, local, central, value):
    """A 16-bit field of the first member's two headers set to a value."""
    changed = bytearray(content)
    for at, field in ((0, local), (changed.index(b"PK\x01\x02"), central)):
        changed[at + field : at + field + 2] = struct.pack("<H", value)
    return bytes(changed)


DEEP = "[" * 2000 + "]" * 2000
NAMED = "its member 'x_train.npy' must be a plain array as np.savez writes it; reading it: "
BAD = {
    "text": (b"hello", "must be an .npz of plain arrays; reading it: File is not a zip file"),
    "empty": (b"", "must be an .npz of plain arrays; reading it: File is not a zip file"),
    "bare npy": (npy(X), "must be an .npz of plain arrays; reading it: File is not a zip file"),
    "truncated": (zipped(npy(X))[:-60], "must be an .npz of plain arrays; reading it: "),
    "member of text": (zipped(b"hello, world"), NAMED + "the magic string is not correct"),
    "empty member": (zipped(b""), NAMED + "EOF: reading magic string"),
    "huge shape": (
        zipped(npy(X, shape=(10**12, 10**12))),
        NAMED + "float32 of shape (1000000000000, 1000000000000) is announced, which 768 bytes",
    ),
    "shape of long numbers": (zipped(npy(X, shape=(10**4000,))), NAMED),
    "negative shape": (zipped(npy(X, shape=(-12, -4, 4))), NAMED),
    "short": (zipped(npy(X)[:-4]), NAMED + "float32 of shape (12, 4, 4) is announced, which 764"),
    "deep header": (zipped(npy(X, shape=DEEP)), NAMED),
    "header of nonsense": (zipped(b"\x93NUMPY\x01\x00\x04\x00{{{\n"), NAMED),
    "unknown type": (zipped(npy(X, descr="<q9")), NAMED),
    "unknown version": (zipped(b"\x93NUMPY\x09\x00" + npy(X)[8:]), NAMED + "version (9, 0)"),
    "pickle": (
        zipped(npy(np.array([{}] * 3, dtype=object))),
        NAMED + "Python objects (object), which are never unpickled",
    ),
    "bad deflate": (spoilt(DEFLATED), NAMED),
    "bad LZMA": (spoilt(LZMA), NAMED),
    "bad bzip2": (spoilt(BZIP2), NAMED),
    "bad sum": (spoilt(zipfile.ZIP_STORED), NAMED),
    "encrypted": (patched(zipped(npy(X)), 6, 8, 1), NAMED + "File 'x_train.npy' is encrypted"),
    "unknown compression": (
        patched(zipped(npy(X)), 8, 10, 77),
        NAMED + "That compression method is not supported",
    ),
    "no such part": (
        zipped(npy(X), name="X_train.npy"),
        "x_train is missing; a data set needs x_train and x_test; did you mean 'X_train'? the "
        "file has 'X_train', 'x_test': rename what is meant",
    ),
    "controls in a name": (
        zipped(npy(X), name="\x1b[31mx\n.npy"),
        r"the file has '\x1b[31mx\n', 'x_test'",
    ),
}
KINDS = {
    "text": (np.full((12, 4, 4), "a"), "must be uint8, bool or float; got <U1: store"),
    "complex": (X.astype(complex), "must be uint8, bool or float; got complex128: store"),
    "fields": (
        np.zeros((12, 4), dtype=[("a", "f4"), ("b", "i2")]),
        "must be uint8, bool or float; got [('a', '<f4'), ('b', '<i2')]: store",
    ),
    "dates": (np.zeros((12, 4), dtype="M8[s]"), "got datetime64[s]: store"),
    "bytes": (np.zeros((12, 4), dtype="V2"), "got |V2: store"),
    "wide integers": (
        np.arange(192).reshape(12, 4, 4),
        "got int64: store 8-bit images with .astype(np.uint8), integers of another range divided "
        "by their white, and declare counts as such, data.values = 'counts'",
    ),
    "16 bits": (np.arange(192, dtype=np.uint16).reshape(12, 4, 4), "got uint16: store 8-bit"),
    "no axis": (np.float32(1.0), "two images or more; got an array of shape ()"),
    "one axis": (np.zeros(12, np.float32), "got shape (12,): store x.reshape(-1, 1)"),
    "no images": (X[:0], "two images or more; got an array of shape (0, 4, 4)"),
    "no pixels": (X[:, :0], "two images or more; got an array of shape (12, 0, 4)"),
    "NaN": (np.where(X > 0.9, np.nan, X), "must be finite; got NaN or infinity"),
    "infinity": (np.where(X > 0.9, -np.inf, X), "must be finite; got NaN or infinity"),
    "too large": (
        1e300 * X.astype(float),
        "must fit into float32; got [2.7385002467781304e+297, 9.97",
    ),
    "all black": (np.zeros((12, 4, 4), np.uint8), "values that differ in float32; every one is 0,"),
    "all white": (np.full((12, 4, 4), 255, np.uint8), "every one is 255, of which nothing can be"),
    "all true": (np.ones((12, 4, 4), bool), "every one is True, of which nothing can be learned"),
    "one grey": (np.full((12, 4, 4), 0.25), "every one is 0.25, of which nothing can be learned"),
    "alike in float32": (1 + 1e-12 * X.astype(float), "values that differ in float32; every one"),
    "8 bits beside floats": (
        (255 * X).astype(np.uint8),
        "all images must be stored alike; x_train is uint8, x_test is float32: store",
    ),
}


def refused(path):
    with pytest.raises(InputError) as caught:
        load(str(path), "none")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 700
    return message


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_one_line_with_its_member(tmp_path, fault):
    content, expected = BAD[fault]
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    assert expected in refused(path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_that_is_no_images_is_one_line_with_its_name(tmp_path, kind):
    array, expected = KINDS[kind]
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=array, x_test=X)
    message = refused(path)
    assert expected in message
    assert "x_train" in message


def test_the_program_ends_with_the_line_and_status_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.npz").write_bytes(spoilt(LZMA))
    Path("study.toml").write_text(
        'name = "bad"\n[base]\nlikelihood = "gaussian_learned"\nobjective = "elbo"\n'
        'data = { name = "mine.npz" }\n'
    )
    done = CliRunner().invoke(main, ["run", "study.toml", "--out", "runs"])
    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1
    assert "mine.npz: its member 'x_train.npy' must be a plain array" in done.output


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("x_val", "x_valid"),
        ("X_dev", "x_valid"),
        ("y_validation", "y_valid"),
        ("Y_train", "y_train"),
        ("Factors_test", "factors_test"),
    ],
)
def test_a_part_under_another_name_is_not_left_out_in_silence(tmp_path, name, usual):
    np.savez(tmp_path / "mine.npz", x_train=X, x_test=X, **{name: X})
    assert f"{name!r} would not be read; rename it to {usual}" in refused(tmp_path / "mine.npz")


def test_members_that_are_not_read_do_no_harm(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as file:
        for name in ("x_train", "x_test"):
            file.writestr(f"{name}.npy", npy(X))
        file.writestr("README.txt", "hello")
        file.writestr("class_names.npy", b"no array at all")
    assert len(load(str(tmp_path / "mine.npz"), "none").test.x) == 12


@pytest.mark.parametrize("name", ["a\0b.npz", "a" * 5000 + ".npz", "folder/", ".npz"])
def test_a_path_that_no_file_can_have_is_refused(name):
    with pytest.raises(InputError, match=r"must be an \.npz, .* there is none at"):
        load(name, "none")


def test_the_folder_of_the_environment_must_be_one(tmp_path, monkeypatch):
    (tmp_path / "mnist.npz").write_bytes(b"hello")
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "mnist.npz"))
    with pytest.raises(InputError, match=r"\$VAEBENCH_DATA must name the folder .* unset it"):
        load("mnist", "none")
    load("digits", "none")
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"mnist\.npz must be an \.npz of plain arrays"):
        load("mnist", "none")


def test_a_cache_on_a_full_disk_keeps_nothing(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.delenv("VAEBENCH_DATA", raising=False)
    monkeypatch.setattr(lookup, "cache_folder", lambda: cache)
    monkeypatch.setattr("pooch.retrieve", lambda *args, **more: os.devnull)
    source = publishers.Source(dict.fromkeys(("x_train", "x_test"), ("", "")), lambda content: X)
    monkeypatch.setitem(lookup.SOURCES, "mnist", source)

    def fill_the_disk(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lookup.np, "savez_compressed", fill_the_disk)
    with pytest.raises(InputError, match=r"could not be fetched \(.*No space left on device\)"):
        load("mnist", "none")
    assert list(cache.iterdir()) == []
