"""One trained run as plain PyTorch: source, weights and a loader, which need no vaebench.

OUT/model.py              encoder, decoder, q(z|x) and p(z) in torch.nn, and `load()`
OUT/weights.safetensors   their parameters
OUT/model.json            what the numbers mean: data and scaling, likelihood, the run's settings

Source and safetensors, as they last: a graph of torch.export is bound to a version of torch, and
TorchScript is given up. Both can be read, and changed, in ten years.
"""

from vaebench.running.bundle.write import export

__all__ = ["export"]
