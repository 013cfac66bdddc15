"""Training steps by compiled code: loss and gradients of one run as a graph of PyTorch's inductor,
called from C for all runs of a stack, many steps at a time.

The step is traced once, by running it on stand-ins for all that changes between steps and between
runs: parameters, minibatch, random numbers, scalars. So one graph serves every run of a shape, in a
stack of any size.
"""

from vaebench.training.stepping.compiled.block import CompiledBlocks
from vaebench.training.stepping.compiled.library import (
    Graph,
    compile_graph,
    compile_step,
    is_on_disk,
    problem,
)
from vaebench.training.stepping.compiled.names import graph_key

__all__ = [
    "CompiledBlocks",
    "Graph",
    "compile_graph",
    "compile_step",
    "graph_key",
    "is_on_disk",
    "problem",
]
