"""pythae's VAE, trained by its BaseTrainer."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor

from benchmarks.peers.torch_network import Decoder, Encoder, exported
from benchmarks.peers.work import LEARNING_RATE, Prepared, Size, Work, minibatches

SEED_OF_EVERY_TRAINER = 8  # its default, which prepare_training sets torch back to


class PythaeEncoder(BaseEncoder):  # type: ignore[misc]
    """The encoder in the form that pythae's VAE wants."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.inner = Encoder(size)

    def forward(self, x: Tensor) -> ModelOutput:
        mu, log_var = self.inner(x)
        return ModelOutput(embedding=mu, log_covariance=log_var)


class PythaeDecoder(BaseDecoder):  # type: ignore[misc]
    """The decoder in the form that pythae's VAE wants: pixel means, not logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.inner = Decoder(size)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.inner(z)))


def base_trainer(work: Work) -> Prepared:
    """BaseTrainer.train_step over its own DataLoader of as many images as the steps need.

    In the time: its loader, its step with loss.item() and its callbacks. Not in it: what its
    train() does around epochs (a copy of the best model, checkpoints, logs).
    """
    torch.manual_seed(work.seed)
    size, x = work.size, torch.from_numpy(work.images("x_train"))
    encoder, decoder = PythaeEncoder(size), PythaeDecoder(size)
    settings = {"input_dim": (size.pixels,), "latent_dim": size.latent}
    model = VAE(VAEConfig(**settings, reconstruction_loss="bce"), encoder, decoder)
    trainer = _trainer(model, BaseDataset(x, torch.zeros(len(x))), work)
    batches = minibatches(len(x), size.batch, work.seed)

    def train(num_steps: int) -> None:
        rows = np.fromiter(chain.from_iterable(islice(batches, num_steps)), np.int64)
        images = BaseDataset(x[torch.from_numpy(rows)], torch.zeros(len(rows)))
        trainer.train_loader = trainer.get_train_dataloader(images)
        trainer.train_step(epoch=1)

    return Prepared(train, lambda: exported(encoder.inner, decoder.inner))


def _trainer(model: VAE, images: BaseDataset, work: Work) -> BaseTrainer:
    """One that is ready for its first epoch."""
    settings = BaseTrainerConfig(
        output_dir=str(work.data.parent / "pythae"),
        per_device_train_batch_size=work.size.batch,
        learning_rate=LEARNING_RATE,
        optimizer_cls="Adam",
        seed=work.seed + SEED_OF_EVERY_TRAINER,
        no_cuda=True,
    )
    trainer = BaseTrainer(model, images, training_config=settings)
    trainer.prepare_training()
    return trainer
