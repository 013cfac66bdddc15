"""The race over other shapes: every peer has the loss and the gradient that vaebench has."""

from dataclasses import replace

import pytest

from benchmarks.peers.images import store
from benchmarks.peers.race import same
from benchmarks.peers.shapes.sizes import SHAPE_PEERS, SHAPES
from benchmarks.peers.work import Work

OTHERS = [peer for peer in SHAPE_PEERS if peer.system != "vaebench" and not peer.stacks]
REFERENCE = SHAPE_PEERS[0]


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("size", SHAPES, ids=lambda size: size.name)
def test_loss_and_gradient_are_those_of_vaebench(peer, size, tmp_path):
    size = replace(size, dataset="digits", pixels=64, hidden=32)
    try:
        prepare = peer.load()
    except ModuleNotFoundError as error:
        pytest.skip(f"needs what `nox -s peers` installs: {error}")
    path, _ = store(size, tmp_path)
    work = Work(size, path, 1, 0)
    ours, theirs = (make(work).check() for make in (REFERENCE.load(), prepare))
    assert same(theirs, ours, size.check_tolerance) == ""
    prepared = prepare(work)
    prepared.train(2)


def test_a_difference_is_named():
    assert same((1.0, 2.0), (1.0, 2.0), 1e-4) == ""
    assert "gradient norm is 2.1" in same((1.0, 2.1), (1.0, 2.0), 1e-4)
    assert "loss is 1.1" in same((1.1, 2.0), (1.0, 2.0), 1e-4)
