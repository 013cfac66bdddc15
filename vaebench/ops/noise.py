"""Counter-based random numbers: pure functions of (key, step, sample, row, column).

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.4),
with the key of a run and the counter words (column // 4, row, sample, step); the four words of one
output serve four neighbouring columns. Nothing has a state: a batch, a chunk, a stack or a resumed
run sees the numbers that it would see alone. The words are the same everywhere. Normals are made of
them in numpy, in C where there is a library (`ops.c`), and in the Triton kernels; they agree to
2e-6.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.ops import c
from vaebench.ops.c import noise as in_c
from vaebench.ops.recorded_draws import Make, Recording, Replay

Words = NDArray[np.uint64]  # 32-bit words, held in 64 bits so that products are exact

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)

CACHED_ROWS = 512
BLOCK = 1 << 16
"""Numbers made at once: enough to hide the cost of a call, few enough to stay in the cache."""


def key(*parts: int | str) -> int:
    """A 63-bit Philox key for a named stream, e.g. key(seed, "train")."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True)
class Noise:
    """Where to read in the streams of S runs: one key per run, the first counter of each axis."""

    keys: tuple[int, ...]
    step: int = 0
    first_sample: int = 0
    first_row: int = 0
    source: Recording | Replay | None = None
    """What hands out the numbers in place of the functions below, where a step is traced."""

    def __post_init__(self) -> None:
        counters = (self.step, self.first_sample, self.first_row)
        assert all(0 <= c <= 0xFFFFFFFF for c in counters), "a counter is one 32-bit word"

    def named(self, *names: str | int) -> Noise:
        """Separate streams for a purpose, one for each run: no counter is read twice."""
        return replace(self, keys=tuple(key(k, *names) for k in self.keys))

    def at(
        self, *, step: int | None = None, sample: int | None = None, row: int | None = None
    ) -> Noise:
        """The same streams, read from there on; what is not named stays as it is."""
        return Noise(
            self.keys,
            self.step if step is None else step,
            self.first_sample if sample is None else sample,
            self.first_row if row is None else row,
            self.source,
        )


def philox(key: Words, counter: tuple[Words, Words, Words, Words]) -> tuple[Words, ...]:
    """Four 32-bit words per counter; key and counter words broadcast."""
    a, b, c, d = counter
    k0, k1 = key & LOW, key >> SHIFT
    for _ in range(10):
        p, q = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b = _xor(q >> SHIFT, b, k0), np.bitwise_and(q, LOW, out=q)
        c, d = _xor(p >> SHIFT, d, k1), np.bitwise_and(p, LOW, out=p)
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return a, b, c, d


def _xor(words: Words, *others: Words) -> Words:
    """XOR in place once the words have the full shape: memory is half the generator's time."""
    for other in others:
        fits = np.broadcast_shapes(words.shape, other.shape) == words.shape
        words = np.bitwise_xor(words, other, out=words if fits else None)
    return words


def uniform(words: Words) -> NDArray[np.float32]:
    """Words as float32 in [0, 1), by the rule of triton.language.rand: the sign bit folds over."""
    signed = words.astype(np.uint32).view(np.int32)
    signed ^= signed >> 31
    numbers = signed.astype(np.float32)
    numbers *= np.float32(4.6566127342e-10)
    return numbers


def normal_pair(u: NDArray[np.float32], v: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Two normals from two uniforms (Box & Muller 1958); u is kept from 0, so that |eps| < 5.68.

    The angle is taken from the opposite point of the circle: half as large, it keeps more digits.
    """
    radius = np.maximum(u, np.float32(1e-7))
    np.log(radius, out=radius)
    radius *= np.float32(-2.0)
    np.negative(np.sqrt(radius, out=radius), out=radius)
    angle = v - np.float32(0.5)
    angle *= np.float32(2.0 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle, out=angle)
    cos *= radius
    sin *= radius
    return cos, sin


def normals(noise: Noise, num_samples: int, num_rows: int, num_columns: int) -> Tensor:
    """Standard normals of S runs: [K, S, B, D], float32."""
    return _of_one_step(_normals_of_steps, noise, num_samples, num_rows, num_columns)


def uniforms(noise: Noise, num_rows: int, num_columns: int) -> Tensor:
    """Uniforms in [0, 1) of S runs: [S, B, D], float32."""
    return _of_one_step(_uniforms_of_steps, noise, num_rows, num_columns)


def gumbels(noise: Noise, num_samples: int, num_rows: int, num_columns: int) -> Tensor:
    """Standard Gumbel variables of S runs: [K, S, B, D], float32. -log(-log u), u kept from 0."""
    return _of_one_step(_gumbels_of_steps, noise, num_samples, num_rows, num_columns)


def _of_one_step(make: Make, noise: Noise, *sizes: int) -> Tensor:
    """The numbers of the noise's own step; its source, where it has one, hands them out."""
    if not isinstance(noise, Noise):
        raise InputError(f"noise must be that of a step, as terms.noise is; got {noise!r}")
    if noise.source is None:
        return make(noise, 1, *sizes)[0]
    return noise.source(make, replace(noise, source=None), sizes)


def _normals_of_steps(noise: Noise, steps: int, samples: int, rows: int, columns: int) -> Tensor:
    """Standard normals of steps in a row: [T, K, S, B, D]."""
    if c.library():
        return torch.from_numpy(in_c.normals(*place(noise, samples, rows, columns), steps))
    block_steps = BLOCK // (samples * len(noise.keys) * rows * columns)
    if steps > 1 or block_steps < 2:
        return _make_normals(noise, steps, samples, rows, columns)
    block = replace(noise, step=noise.step - noise.step % block_steps)
    numbers = _kept_normals(block, block_steps, samples, rows, columns)
    here = noise.step - block.step
    return numbers[here : here + 1].clone()  # callers may work in place


def _uniforms_of_steps(noise: Noise, steps: int, rows: int, columns: int) -> Tensor:
    """Uniforms of steps in a row: [T, S, B, D]."""
    return _make_uniforms(noise, steps, 1, rows, columns)[:, 0]


def _gumbels_of_steps(noise: Noise, steps: int, samples: int, rows: int, columns: int) -> Tensor:
    """Gumbel variables of steps in a row: [T, K, S, B, D]."""
    u = _make_uniforms(noise, steps, samples, rows, columns)
    return -torch.log(-torch.log(u.clamp_min(1e-10)))


DRAWS: dict[str, Make] = {
    "normals": _normals_of_steps,
    "uniforms": _uniforms_of_steps,
    "gumbels": _gumbels_of_steps,
}
"""The functions that make the numbers of steps in a row, by the names that graphs on disk have for
them."""


def permutations(noise: Noise, length: int) -> Tensor:
    """One random order of range(length) per run: [S, length], int64.

    It sorts one random word per position; equal words stay in the order of their positions.
    """
    words = _row_of_words(noise, length)
    pairs = words.astype(np.uint64) << SHIFT | np.arange(length, dtype=np.uint64)
    return torch.from_numpy((np.sort(pairs) & LOW).astype(np.int64))


def _row_of_words(noise: Noise, length: int) -> NDArray[np.uint32]:
    """The words of one row of each run: [S, length]."""
    if c.library():
        return in_c.words(*place(noise, 1, 1, length))[0, 0, :, 0]
    lanes = [words[0, 0, :, 0] for words in _words(noise, 1, 1, 1, length)]
    return np.stack(lanes, -1).reshape(len(noise.keys), -1)[:, :length].astype(np.uint32)


def words_of_rows(noise: Noise, rows: Tensor, num_columns: int) -> Tensor:
    """The words of some rows of one stream, on their device: [n, D] 32-bit words as int64."""
    numbers = rows.cpu().numpy().astype(np.uint64)[:, None]
    quads = np.arange(-(-num_columns // 4), dtype=np.uint64)
    counter = quads, numbers, np.zeros_like(quads), np.full_like(quads, noise.step)
    lanes = philox(np.array(noise.keys, dtype=np.uint64), counter)
    joined = np.stack(np.broadcast_arrays(*lanes), -1).reshape(len(numbers), -1)
    return torch.from_numpy(joined[:, :num_columns].astype(np.int64)).to(rows.device)


def uniforms_of(words: Tensor) -> Tensor:
    """Words as float32 in [0, 1), as `uniform` has them."""
    folded = torch.where(words < 1 << 31, words, (1 << 32) - 1 - words)
    return folded.float() * 4.6566127342e-10


def place(
    noise: Noise, num_samples: int, num_rows: int, num_columns: int
) -> tuple[tuple[int, ...], in_c.Counters, in_c.Shape]:
    """Keys, first counters and shape [K, S, B, D]: what the functions of `ops.c.noise` take."""
    first = noise.step, noise.first_sample, noise.first_row
    return noise.keys, first, (num_samples, len(noise.keys), num_rows, num_columns)


def _make_uniforms(noise: Noise, steps: int, samples: int, rows: int, columns: int) -> Tensor:
    """[T, K, S, B, D]."""
    if c.library():
        return torch.from_numpy(in_c.uniforms(*place(noise, samples, rows, columns), steps))
    lanes = [uniform(words) for words in _words(noise, steps, samples, rows, columns)]
    return _columns(lanes, columns)


def _make_normals(noise: Noise, steps: int, samples: int, rows: int, columns: int) -> Tensor:
    """The normals of a block of steps: [T, K, S, B, D]. In pieces of rows that fit a cache."""
    shape = (steps, samples, len(noise.keys), rows, -(-columns // 4), 4)
    quads = np.empty(shape, np.float32)
    for first in range(0, rows, CACHED_ROWS):
        num = min(CACHED_ROWS, rows - first)
        words = _words(noise.at(row=noise.first_row + first), steps, samples, num, columns)
        quad = [uniform(w) for w in words]
        for lane, numbers in enumerate((*normal_pair(*quad[:2]), *normal_pair(*quad[2:]))):
            quads[..., first : first + num, :, lane] = numbers
    flat = quads.reshape(*shape[:4], -1)[..., :columns]
    return torch.from_numpy(np.ascontiguousarray(flat))


_kept_normals = functools.lru_cache(maxsize=64)(_make_normals)
"""Kept for the steps that follow: at most 64 blocks, of a quarter of a MiB each."""


def _words(noise: Noise, steps: int, samples: int, rows: int, columns: int) -> tuple[Words, ...]:
    """Philox words, each [T, K, S, B, ceil(D / 4)]."""

    def axis(first: int, length: int, position: int) -> Words:
        shape = [1] * 5
        shape[position] = length
        return np.arange(first, first + length, dtype=np.uint64).reshape(shape)

    counter = (
        axis(0, -(-columns // 4), 4),
        axis(noise.first_row, rows, 3),
        axis(noise.first_sample, samples, 1),
        axis(noise.step, steps, 0),
    )
    return philox(np.array(noise.keys, dtype=np.uint64).reshape(-1, 1, 1), counter)


def _columns(lanes: list[NDArray[np.float32]], num_columns: int) -> Tensor:
    """Four lanes [..., Q] -> columns [..., D], lane after lane within each quad."""
    joined = np.stack(np.broadcast_arrays(*lanes), -1)
    flat = joined.reshape(*joined.shape[:-2], -1)[..., :num_columns]
    return torch.from_numpy(np.ascontiguousarray(flat))
