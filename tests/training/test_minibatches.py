"""Every epoch shows every image once, in an order of the run, drawn as its mates see it."""

from dataclasses import replace

import pytest
import torch

from tests.support.runs import BATCH, tiny
from vaebench.data import Dataset, Images, Part
from vaebench.training import minibatches
from vaebench.training.minibatches import batches

NUM_IMAGES, NUM_BITS, NUM_GREY = 32, 5, 20


def numbered_images():
    """Images that carry their number in pixels of 0 and 1, beside grey ones, drawn dynamically."""
    bits = torch.arange(NUM_IMAGES)[:, None] >> torch.arange(NUM_BITS) & 1
    grey = torch.full((NUM_IMAGES, NUM_GREY), 0.5)
    part = Part(Images(torch.cat([bits.float(), grey], 1)), None)
    return Dataset("numbered", (5, 5), "dynamic", "f", part, part, part)


def all_of(some):
    """What some steps see: [T, S, B, P]."""
    return torch.stack([some[t] for t in range(len(some.steps))])


def read_epochs(configs):
    """Numbers [E, S, N] and grey pixels [E, S, N, G] of every image, in the order of training."""
    seen = torch.cat(list(map(all_of, batches(configs, numbered_images(), torch.zeros(())))))
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


SMALL, PER_EPOCH = 4, NUM_IMAGES // 4
NUM_STEPS = 2 * PER_EPOCH + 5
"""Two epochs, and a part of a third."""


@pytest.mark.parametrize("start", [0, 2, PER_EPOCH - 1, PER_EPOCH, PER_EPOCH + 3])
@pytest.mark.parametrize("at_once", [1, 3, 5, PER_EPOCH, 100])
@pytest.mark.parametrize("most_kept", [0, 1, 2, 9])
def test_strides_have_the_minibatches_of_single_steps(at_once, start, most_kept, monkeypatch):
    """They end at multiples of `at_once`, and where as many epochs as are kept have ended, one at
    least, wherever they start."""
    settings = {"num_steps": NUM_STEPS, "batch_size": SMALL}
    configs = [tiny(seed=seed, train=settings) for seed in (0, 1)]
    dataset, place = numbered_images(), torch.zeros(())
    single = list(batches(configs, dataset, place))
    assert [some.steps for some in single] == [range(t, t + 1) for t in range(NUM_STEPS)]
    epoch_bytes = dataset.observations("train").observed_bytes
    monkeypatch.setattr(minibatches, "KEPT_BYTES", most_kept * epoch_bytes)
    blocks = list(batches(configs, dataset, place, start, at_once))
    expected = torch.stack([some[0] for some in single[start:]])
    assert torch.equal(torch.cat(list(map(all_of, blocks))), expected)
    assert [some.first for some in blocks] == [start, *(s.steps.stop for s in blocks[:-1])]
    for some in blocks:
        last_epoch = some.first // PER_EPOCH + max(1, most_kept)
        assert some.steps.stop == min(
            NUM_STEPS, (some.first // at_once + 1) * at_once, last_epoch * PER_EPOCH
        )


def test_row_numbers_of_a_long_block_are_few(monkeypatch):
    dataset = replace(numbered_images(), binarisation="none")
    configs = [tiny(seed=seed, train={"num_steps": 100, "batch_size": SMALL}) for seed in (0, 1)]
    (whole,) = batches(configs, dataset, torch.zeros(()), at_once=100)
    monkeypatch.setattr(minibatches, "ROWS_BYTES", 7 * whole.rows[0].nbytes)
    parts = list(batches(configs, dataset, torch.zeros(()), at_once=100))
    assert [len(part.rows) for part in parts] == [7] * 14 + [2]
    assert torch.equal(torch.cat([part.rows for part in parts]), whole.rows)


def test_blocks_within_an_epoch_read_the_draws_that_are_kept():
    configs = [tiny(train={"num_steps": PER_EPOCH, "batch_size": SMALL})]
    blocks = batches(configs, numbered_images(), torch.zeros(()))
    assert len({some.images.stored.data_ptr() for some in blocks}) == 1


def test_images_that_are_not_drawn_are_read_where_they_are_stored():
    dataset = replace(numbered_images(), binarisation="none")
    settings = {"num_steps": NUM_STEPS, "batch_size": SMALL}
    (whole,) = batches([tiny(train=settings)], dataset, torch.zeros(()), at_once=100)
    assert whole.images.stored.data_ptr() == dataset.train.images.stored.data_ptr()


def test_a_part_of_a_stride_is_some_of_its_steps():
    configs = [tiny(seed=seed, train={"num_steps": 7, "batch_size": SMALL}) for seed in (0, 1)]
    (whole,) = batches(configs, numbered_images(), torch.zeros(()), at_once=7)
    part = whole.part(2, 5)
    assert part.steps == range(2, 5)
    assert torch.equal(all_of(part), all_of(whole)[2:5])
    assert whole.part(5, 9).steps == range(5, 7)
