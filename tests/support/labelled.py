"""A small data set by hand, of random images, with labels that can be learned."""

import torch

from vaebench.data import Dataset, Images, Part

H, W = 3, 4


def images(num, seed=0, pixels=H * W):
    return torch.rand(num, pixels, generator=torch.Generator().manual_seed(seed))


def dataset_of(seed=0, labels=True, shape=(H, W)):
    """A data set by hand, labelled by its brightest pixel of three."""

    def part(num, seed):
        x = images(num, seed, torch.tensor(shape).prod().item())
        return Part(Images(x), x[:, :3].argmax(1) if labels else None)

    parts = part(90, seed), part(20, seed + 1), part(40, seed + 2)
    return Dataset("by hand", shape, "none", "f", *parts)
