"""Folders of .npy files: mapped into memory, with the numbers that an .npz gives."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.support.runs import steps_of, tiny
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.data import load
from vaebench.ops import c

RANDOM = np.random.default_rng(2)
BYTES = RANDOM.integers(0, 256, (60, 4, 4)).astype(np.uint8)


def written(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, x in arrays.items():
        np.save(folder / f"{name}.npy", x)
    return f"{folder}/"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("binarisation", ["none", "dynamic"])
def test_a_folder_is_the_data_set_that_its_npz_is(tmp_path, dtype, binarisation):
    """Also what is drawn of each image, and the split: a part is rows of a mapped file."""
    x = BYTES if dtype == np.uint8 else (BYTES / 255.0).astype(dtype)
    arrays = {
        "x_train": x[:50],
        "x_test": x[50:],
        "y_train": np.arange(50),
        "y_test": np.arange(10),
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    packed = load(str(tmp_path / "mine.npz"), binarisation)
    mapped = load(written(tmp_path / "mine", **arrays), binarisation)
    assert mapped.fingerprint == packed.fingerprint
    for part in ("train", "valid", "test"):
        assert torch.equal(mapped.observe(part, 3), packed.observe(part, 3))
        assert torch.equal(getattr(mapped, part).y, getattr(packed, part).y)
    assert mapped.greys == packed.greys


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.float64, np.float16])
def test_numbers_of_any_type_are_read_as_those_in_memory(tmp_path, monkeypatch, dtype, native):
    """Where they lie, in C and by PyTorch; float64 rounds to float32 and no otherwise."""
    if not native:
        monkeypatch.setattr(c, "library", lambda: None)
    x = RANDOM.integers(-100, 100, (60, 3, 5)) * (1.1 if np.issubdtype(dtype, np.floating) else 1)
    arrays = {"x_train": x.astype(dtype)[:50], "x_test": x.astype(dtype)[50:]}
    np.savez(tmp_path / "mine.npz", **arrays)
    packed, mapped = (
        load(path, "none", values="real", standardise=True)
        for path in (str(tmp_path / "mine.npz"), written(tmp_path / "mine", **arrays))
    )
    in_place = mapped.train.images.stored.dtype == torch.from_numpy(arrays["x_test"]).dtype
    assert in_place == (dtype != np.float16)
    for part in ("train", "valid", "test"):
        assert torch.equal(mapped.observe(part), packed.observe(part))


def test_training_reads_the_same_minibatches(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=BYTES[:50], x_test=BYTES[50:])
    written(tmp_path / "mine", x_train=BYTES[:50], x_test=BYTES[50:])
    losses = []
    for path in (tmp_path / "mine.npz", f"{tmp_path}/mine/"):
        data = {"name": str(path), "binarisation": "dynamic"}
        configs = resolve([tiny(data=data, seed=seed) for seed in (0, 1)])
        losses.append(torch.stack([step.loss for step in steps_of(configs)[1]]))
    assert torch.equal(*losses)


def test_what_is_missing_or_broken_is_one_line(tmp_path):
    with pytest.raises(
        InputError, match=r"x_test is missing; .*or take it from x_train by data.tes"
    ):
        load(written(tmp_path / "one", x_train=BYTES), "none")
    path = written(tmp_path / "two", x_train=BYTES[:50], x_test=BYTES[50:])
    (tmp_path / "two" / "x_test.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x_test\.npy must be a plain array as np.save writes it"):
        load(path, "none")
    with pytest.raises(InputError, match="must have images of one shape"):
        load(written(tmp_path / "three", x_train=BYTES, x_test=BYTES[:, :3]), "none")


def test_a_test_part_is_drawn_by_the_seed(tmp_path):
    path = written(tmp_path / "one", x_train=BYTES)
    data = load(path, "none", test_fraction=0.25)
    parts = [data.train, data.valid, data.test]
    assert [len(part) for part in parts] == [37, 8, 15]
    rows = torch.cat([part.x for part in parts])
    assert len(rows.unique(dim=0)) == 60
    other = load(path, "none", None, 1, test_fraction=0.25)
    assert not torch.equal(other.test.x, data.test.x)
    assert other.fingerprint != data.fingerprint
    with pytest.raises(InputError, match="has its own test part; remove test_fraction"):
        load("digits", "none", test_fraction=0.25)


@pytest.mark.slow
def test_data_are_not_copied_into_memory(tmp_path):
    """Private memory grows by less than a tenth of what is read."""
    x = np.tile(BYTES.reshape(60, 16), (40_000, 16))[:, :64]  # 150 MiB
    path = written(tmp_path / "large", x_train=x, x_valid=x[:50], x_test=x[:50])
    del x
    code = (
        "import sys\n"
        "from vaebench.data import load\n"
        "def private():\n"
        "    lines = open('/proc/self/smaps_rollup').read().splitlines()\n"
        "    return sum(int(line.split()[1]) for line in lines if line.startswith('Anon'))\n"
        "load('digits', 'none').observe('train')\n"
        "before = private()\n"
        "data = load(sys.argv[1], 'none')\n"
        "data.observations('train')[:1000]\n"
        "print((private() - before) / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 15.0
