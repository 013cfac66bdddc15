"""vaebench's own loop."""

from __future__ import annotations

from benchmarks.peers.work import LEARNING_RATE, Prepared, Weights, Work
from vaebench.config import RunConfig, parse
from vaebench.config.build import build_stack, load_data
from vaebench.training.loop import training_steps
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import always, never

ENDLESS = 10_000_000
LAYERS = {
    "encode": "encoder.0",
    "posterior": "encoder.2",
    "decode": "decoder.0",
    "logits": "decoder.2",
}


def eager(work: Work) -> Prepared:
    """S runs stacked: `training_steps`, operation by operation, batches and noise included."""
    return _stack(work, never())


def compiled(work: Work) -> Prepared:
    """S runs: `training_steps`, compiled blocks run after run, batches and noise included."""
    return _stack(work, always())


def _stack(work: Work, make_blocks: MakeBlocks) -> Prepared:
    configs = [_config(work, work.seed + run) for run in range(work.num_runs)]
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape)
    steps = training_steps(model, configs, dataset, make_blocks, at_once=work.size.block)
    values = {name: p.detach().numpy() for name, p in model.named_parameters()}

    def train(num_steps: int) -> None:
        while num_steps > 0:
            num_steps -= len(next(steps).losses)
        assert num_steps == 0, "asked for whole blocks, steps come in whole blocks"

    def weights() -> Weights:
        return {
            layer: (values[f"{name}.weight"], values[f"{name}.bias"][:, 0])
            for layer, name in LAYERS.items()
        }

    return Prepared(train, weights)


def _config(work: Work, seed: int) -> RunConfig:
    size = work.size
    return parse(
        {
            "objective": "elbo",
            "likelihood": "bernoulli",
            "data": {"name": str(work.data), "binarisation": "static"},
            "model": {"latent_dim": size.latent, "widths": [size.hidden]},
            "train": {
                "num_steps": ENDLESS,
                "batch_size": size.batch,
                "learning_rate": LEARNING_RATE,
            },
            "seed": seed,
        }
    )
