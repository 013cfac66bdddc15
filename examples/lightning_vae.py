"""A VAE trained with Lightning by an estimator of the suite: `vaebench evaluate
examples/lightning_vae.py`.

The loss is the doubly reparameterised estimator of the importance-weighted bound.
"""

import lightning
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal
from torch.utils.data import DataLoader

import vaebench as vb
from vaebench.data import load

LATENT, HIDDEN, NUM_STEPS, BATCH, NUM_SAMPLES = 4, 32, 600, 64, 5
x_train = load("digits", "threshold").observe("train")
num_pixels = x_train.shape[1]


class VAE(lightning.LightningModule):
    """Encoder and decoder, with the step that trains them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(num_pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_pixels)
        )

    def posterior(self, x: Tensor) -> Independent:
        """q(z|x) of images [B, P]."""
        mu, log_var = self.encoder(x).chunk(2, -1)
        return Independent(Normal(mu, torch.exp(0.5 * log_var)), 1)

    def training_step(self, x: Tensor) -> Tensor:
        """The loss of a minibatch [B, P]."""
        q = self.posterior(x)
        z = q.rsample((NUM_SAMPLES,))
        log_px_z = Bernoulli(logits=self.decoder(z)).log_prob(x).sum(-1)
        return vb.loss("dreg", q=q, log_px_z=log_px_z, z=z)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as the suite trains."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def fit(model: VAE, loader: DataLoader, num_steps: int) -> None:
    """Train for so many steps on the minibatches of a loader."""
    trainer = lightning.Trainer(
        max_steps=num_steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)


torch.manual_seed(0)
model = VAE()
fit(model, DataLoader(x_train, BATCH, shuffle=True, drop_last=True), NUM_STEPS)
model.eval()

# ------------------------------------------------------------------ for vaebench

name, seed = "Lightning, DReG", 0
data = {"name": "digits", "binarisation": "threshold"}
likelihood = "bernoulli"
encode = model.posterior
decode = model.decoder  # codes -> logits
