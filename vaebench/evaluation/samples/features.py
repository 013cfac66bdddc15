"""Features, by which images are compared, and the extractors that give them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.core.errors import InputError
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
def features_of(extractor: Extractor, images: Tensor) -> Tensor:
    """Features in float64, on the CPU, chunk by chunk: [..., P] -> [..., F].

    Raises InputError where the extractor gives anything but finite numbers [N, F].
    """
    flat = images.cpu().flatten(end_dim=-2)
    num_rows = rows_within(CACHE_BYTES, lambda: extractor.features(flat[:1]))
    first, *others = flat.split(num_rows)
    features = _checked(extractor, first)
    joined = features.new_empty(len(flat), features.shape[1])
    joined[:num_rows] = features
    for i, part in enumerate(others, start=1):
        joined[i * num_rows : (i + 1) * num_rows] = _checked(extractor, part)
    return joined.unflatten(0, images.shape[:-1])


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


def digest(*parts: Tensor | bytes | str) -> str:
    """12 hex digits of the hash of tensors, with their types and shapes, and bytes."""
    hashed = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            hashed.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            part = part.detach().cpu().contiguous().numpy().tobytes()
        hashed.update(part.encode() if isinstance(part, str) else part)
    return hashed.hexdigest()[:12]
