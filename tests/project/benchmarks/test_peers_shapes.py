"""The race over other shapes: every peer has the loss and the gradient that vaebench has."""

from dataclasses import replace

import pytest

from benchmarks.peers.images import store
from benchmarks.peers.race import same
from benchmarks.peers.shapes.sizes import MODULE_PEERS, MODULES, SHAPE_PEERS, SHAPES
from benchmarks.peers.work import Work
from vaebench.models import MODELS

COURSES = [
    pytest.param(size, peer, id=f"{size.name}-{peer.name}")
    for sizes, peers in ((SHAPES, SHAPE_PEERS), (MODULES, MODULE_PEERS))
    for size in sizes
    for peer in peers
    if peer.system != "vaebench" and not peer.stacks
]
REFERENCE = SHAPE_PEERS[0]


@pytest.fixture
def models_as_before():
    """Takes back what a user's file has registered."""
    before = {*MODELS}
    yield
    for name in {*MODELS} - before:
        del MODELS._entries[name]


@pytest.mark.usefixtures("models_as_before")
@pytest.mark.parametrize(("size", "peer"), COURSES)
def test_loss_and_gradient_are_those_of_vaebench(size, peer, tmp_path):
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
