"""Copies of training images: found where they are, and nowhere else."""

import torch

from tests.support.features import normals
from vaebench.data import Images
from vaebench.evaluation.samples.memorised import copies


def test_copies_are_found_and_others_not():
    train = normals(200, 16).float()
    noise = normals(200, 16, seed=1).float()
    assert bool(copies(train, Images(train)).all())
    assert bool(copies(train + 0.05 * noise, Images(train)).all())
    assert not bool(copies(noise, Images(train)).any())
    assert not bool(copies((train + train.roll(1, 0)) / 2, Images(train)).any()), (
        "halfway between two"
    )
    assert not bool(copies(train.mean(0, keepdim=True), Images(train)).any()), "a blurred image"


def test_copies_are_the_definition():
    """Less than a third as far from the nearest as from the second; a third is not less."""
    train = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 50.0]])
    images = torch.tensor(
        [[1.0, 0.0], [0.9, 0.0], [3.1, 0.0], [2.0, 0.0], [0.0, 40.0], [0.0, 30.0]]
    )
    assert copies(images, Images(train)).tolist() == [False, True, True, False, True, False]
    nearest = torch.cdist(images, train).sort(1).values
    assert copies(images, Images(train)).tolist() == (3 * nearest[:, 0] < nearest[:, 1]).tolist()


def test_a_copy_of_what_is_there_twice_is_not_found():
    train = torch.cat([normals(20, 4), normals(20, 4)]).float()
    assert not bool(copies(train[:20], Images(train)).any())
