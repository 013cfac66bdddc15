"""A VAE trained with pythae, graded here: `vaebench evaluate examples/pythae_vae.py`.

What vaebench needs stands at the end; the rest is a model as its author would have it.
"""

import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn

from vaebench.data import load

LATENT, HIDDEN, NUM_STEPS, BATCH = 8, 128, 600, 64
x_train = load("digits", "threshold").observe("train")
num_pixels = x_train.shape[1]


class Encoder(BaseEncoder):
    """Mean and log-variance of q(z|x)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(num_pixels, HIDDEN), nn.ReLU())
        self.mu, self.log_var = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.hidden(x)
        return ModelOutput(embedding=self.mu(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """Probabilities of white pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_pixels), nn.Sigmoid()
        )

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z))


torch.manual_seed(0)
settings = VAEConfig(input_dim=(num_pixels,), latent_dim=LATENT, reconstruction_loss="bce")
model = VAE(settings, Encoder(), Decoder())
optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(NUM_STEPS):
    loss = model({"data": x_train[torch.randint(len(x_train), (BATCH,))]}).loss
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
model.eval()

# ------------------------------------------------------------------ for vaebench

name, seed = "pythae VAE", 0
data = {"name": "digits", "binarisation": "threshold"}
likelihood = "bernoulli"


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, P] -> mean and log-variance [B, D]."""
    code = model.encoder(x)
    return code.embedding, code.log_covariance


def decode(z: Tensor) -> Tensor:
    """Codes [n, D] -> logits [n, P]. Its decoder gives probabilities, which round to 0 and 1."""
    return torch.logit(model.decoder(z).reconstruction.flatten(1), eps=1e-7)
