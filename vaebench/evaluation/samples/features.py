"""Features, by which images are compared, and the extractors that give them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.data import Images
from vaebench.evaluation.chunks import CACHE_BYTES, rows_within


@dataclass(frozen=True)
class Extractor:
    """Features [N, F] of intensities [N, P], and what they are, for the protocol of a row."""

    features: Callable[[Tensor], Tensor]
    described: str
    fingerprint: str
    """A hash of its weights, or of what determines them."""
    preprocessing: str = "intensities [N, P]"
    """The form of images that the function takes, in words."""


@torch.no_grad()
def features_of(extractor: Extractor, images: Tensor | Images) -> Tensor:
    """Features in float64, on the CPU, chunk by chunk: [..., P] -> [..., F].

    Raises InputError where the extractor gives anything but finite numbers [N, F].
    """
    flat = images.cpu().flatten(end_dim=-2) if isinstance(images, Tensor) else images
    one = flat[:1]
    num_rows = rows_within(CACHE_BYTES, lambda: extractor.features(one))
    first = _checked(extractor, flat[:num_rows])
    joined = first.new_empty(len(flat), first.shape[1])
    joined[:num_rows] = first
    for start in range(num_rows, len(flat), num_rows):
        rows = slice(start, start + num_rows)
        joined[rows] = _checked(extractor, flat[rows])
    return joined.unflatten(0, images.shape[:-1]) if isinstance(images, Tensor) else joined


def _checked(extractor: Extractor, images: Tensor) -> Tensor:
    features = extractor.features(images)
    if fault := fault_of(features, len(images)):
        raise InputError(
            f"extractor {extractor.described!r} must give finite features [N, F]; it gave {fault} "
            f"for {len(images)} images: correct it or choose another"
        )
    return features.double()


def fault_of(output: object, num_images: int) -> str:
    """Why the output of an extractor is not finite features [N, F], in words; "" where it is."""
    if not isinstance(output, Tensor):
        return f"a {type(output).__name__}"
    if output.dim() != 2 or len(output) != num_images or not output.shape[1]:
        return f"a tensor of shape {tuple(output.shape)}"
    return "" if bool(output.isfinite().all()) else "NaN or infinity"


def digest(*parts: Tensor | Images | bytes | str) -> str:
    """12 hex digits of the hash of tensors, with their types and shapes, and bytes.

    Images count as the tensor of their numbers.
    """
    hashed = hashlib.sha256()
    for piece in itertools.chain.from_iterable(map(_pieces, parts)):
        hashed.update(piece)
    return hashed.hexdigest()[:12]


def _pieces(part: Tensor | Images | bytes | str) -> Iterator[bytes]:
    """What is hashed of a part, a few images at a time."""
    match part:
        case Images():
            yield f"{torch.float32} {(len(part), part.num_pixels)} ".encode()
            yield from (rows.numpy().tobytes() for rows in part.chunks())
        case Tensor():
            yield f"{part.dtype} {tuple(part.shape)} ".encode()
            yield part.detach().cpu().contiguous().numpy().tobytes()
        case str():
            yield part.encode()
        case _:
            yield part
