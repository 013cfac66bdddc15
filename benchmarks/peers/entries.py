"""Who races, and over which sizes."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.work import Prepared, Size, Work

SIZES = (
    Size(
        name="small",
        dataset="digits",
        pixels=64,
        hidden=128,
        latent=8,
        batch=64,
        stack=32,
        stacks=(8, 32),
        curve=(2, 4, 16, 64, 256),
        gate_steps=1504,
        gate_runs=6,
        tolerance_nats=0.2,
        block=16,
    ),
    Size(
        name="large",
        dataset="mnist",
        pixels=784,
        hidden=400,
        latent=20,
        batch=128,
        stack=4,
        stacks=(4, 8),
        curve=(2, 16),
        gate_steps=392,
        gate_runs=4,
        tolerance_nats=0.5,
        block=8,
    ),
)


@dataclass(frozen=True)
class Peer:
    """A system that races. Its module is imported by its own process alone."""

    name: str
    system: str
    """Peers of one system are variants of it."""
    package: str
    """The package whose version the tables name."""
    place: str
    """module:function; the function's first line of documentation says what is measured."""
    stacks: bool = False
    """Whether it can train several runs at once."""

    def load(self) -> Callable[[Work], Prepared]:
        """The function that prepares it. Raises ImportError where its package is missing."""
        prepare: Callable[[Work], Prepared] = pkgutil.resolve_name(f"{__package__}.{self.place}")
        return prepare


EAGER = Peer("vaebench", "vaebench", "vaebench", "with_vaebench:eager", stacks=True)
COMPILED = Peer("vaebench-compiled", "vaebench", "vaebench", "with_vaebench:compiled", stacks=True)
FLOOR = Peer("floor", "floor", "torch", "floor:floor", stacks=True)
FLOOR_IN_C = Peer("floor-in-c", "floor", "vaebench", "floor:floor_in_c", stacks=True)
REFERENCE = Peer("pytorch-examples", "pytorch/examples", "torch", "with_torch:examples_loop")
"""The peer whose held-out ELBO the others must reach."""

PEERS = (
    FLOOR,
    FLOOR_IN_C,
    EAGER,
    COMPILED,
    Peer("jax-scan", "JAX", "jax", "with_jax:scan"),
    Peer("jax-vmap-scan", "JAX", "jax", "with_jax:vmapped_scan", stacks=True),
    Peer("numpyro", "NumPyro", "numpyro", "with_numpyro:scanned_svi"),
    REFERENCE,
    Peer("pythae", "pythae", "pythae", "with_pythae:base_trainer"),
    Peer("pyro-trace", "Pyro", "pyro-ppl", "with_pyro:trace_elbo"),
    Peer("pyro-mean-field", "Pyro", "pyro-ppl", "with_pyro:trace_mean_field_elbo"),
)


def stack_sizes(peer: Peer, size: Size) -> tuple[int, ...]:
    """The S that a peer is measured at, those that only figures show last."""
    return (1, *size.stacks, *size.curve) if peer.stacks else (1,)
