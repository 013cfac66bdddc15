"""Models that give the images they are told to, and a data set by hand to grade them on."""

import torch

from vaebench.data import Dataset, Images, Part
from vaebench.evaluation.grading import Subject
from vaebench.ops.noise import Noise

P = 9


class Gives:
    """S models whose prior draws the given images [S, N, P], which the decoder keeps."""

    latent = None

    def __init__(self, *images):
        self.images, self.num_runs = torch.stack(images), len(images)
        self.like = self.images[0, 0]

    def prior(self):
        return self

    def sample(self, noise, num_rows, latent):
        return self.images[:, :num_rows]

    def mean_image(self, z, x=None):
        return z


def images(num, seed):
    """Images of three kinds, that differ in which third is bright."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.rand(num, P, generator=generator)
    kinds = torch.randint(3, (num,), generator=generator)
    bright = torch.eye(3).repeat_interleave(3, 1)[kinds]
    return x + 0.5 * bright, kinds


def dataset_of(train=0, test=2, fingerprint="f"):
    drawn = images(80, train), images(20, 1), images(60, test)
    parts = (Part(Images(x), y) for x, y in drawn)
    return Dataset("by hand", (3, 3), "none", fingerprint, *parts)


def subject_of(*arguments, dataset=None, **more):
    settings = {"num_images": 50, "extractor": "raw"} | more
    return Subject(Gives(*arguments), dataset or dataset_of(), Noise((1,)), **settings)


REAL, NOISE = images(70, 9)[0], torch.rand(70, P, generator=torch.Generator().manual_seed(5))
