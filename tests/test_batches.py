"""Every epoch shows every image once, in an order of the run, drawn as its mates see it."""

import torch
from conftest import tiny
from runs import BATCH

from vaebench.batches import batches
from vaebench.data import Dataset, Part

NUM_IMAGES, NUM_BITS, NUM_GREY = 32, 5, 20


def numbered_images():
    """Images that carry their number in pixels of 0 and 1, beside grey ones, drawn dynamically."""
    bits = torch.arange(NUM_IMAGES)[:, None] >> torch.arange(NUM_BITS) & 1
    grey = torch.full((NUM_IMAGES, NUM_GREY), 0.5)
    part = Part(torch.cat([bits.float(), grey], 1), None)
    return Dataset("numbered", (5, 5), "dynamic", "f", part, part, part)


def read_epochs(configs):
    """Numbers [E, S, N] and grey pixels [E, S, N, G] of every image, in the order of training."""
    seen = torch.stack(list(batches(configs, numbered_images(), torch.zeros(()))))
    per_epoch = seen.unflatten(0, (-1, NUM_IMAGES // BATCH)).transpose(1, 2).flatten(2, 3)
    numbers = (per_epoch[..., :NUM_BITS] * 2 ** torch.arange(NUM_BITS)).sum(-1).long()
    return numbers, per_epoch[..., NUM_BITS:]


def test_epochs_and_runs_shuffle_anew_and_only_epochs_draw_anew():
    train_settings = {"num_steps": 2 * NUM_IMAGES // BATCH, "batch_size": BATCH}
    configs = [tiny(seed=seed, train=train_settings) for seed in (0, 1)]
    numbers, grey = read_epochs(configs)
    assert torch.equal(numbers.sort(-1).values, torch.arange(NUM_IMAGES).expand_as(numbers))
    assert not torch.equal(numbers[0, 0], numbers[1, 0])
    assert not torch.equal(numbers[0, 0], numbers[0, 1])
    order = numbers.argsort(-1)[..., None].expand_as(grey)
    drawn = grey.gather(2, order)  # by image number
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    changed = (drawn[0, 0] != drawn[1, 0]).float().mean()
    assert 0.4 < changed < 0.6
