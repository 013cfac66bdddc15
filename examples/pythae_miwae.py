"""pythae's MIWAE, mended from outside: `vaebench evaluate examples/pythae_miwae.py`.

pythae normalises the importance weights over the M estimates where it should over the K samples of
each: its MIWAE(M, K) is MIWAE(K, M), which M = K alone does not show. `Mended` takes its loss from
the suite and leaves the rest; `python examples/pythae_miwae.py` prints both, as CSV, beside what
MIWAE is at its ends.
"""

from collections.abc import Iterable

import torch
from pythae.models import MIWAE, MIWAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn
from torch.nn import functional as F

import vaebench as vb
from vaebench.data import load

LATENT, HIDDEN, NUM_STEPS, BATCH = 4, 32, 600, 64
ESTIMATES, SAMPLES = 2, 3
"""M and K."""
x_train = load("digits", "threshold").observe("train")
num_pixels = x_train.shape[1]


class Encoder(BaseEncoder):
    """Mean and log-variance of q(z|x)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )

    def forward(self, x: Tensor) -> ModelOutput:
        mu, log_var = self.layers(x).chunk(2, -1)
        return ModelOutput(embedding=mu, log_covariance=log_var)


class Decoder(BaseDecoder):
    """Probabilities of white pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_pixels)
        )

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z).sigmoid())


def log_likelihood(recon_x: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of probabilities [..., B, P]: [..., B]."""
    return -F.binary_cross_entropy(recon_x, x.expand_as(recon_x), reduction="none").sum(-1)


def samples_first(tensor: Tensor) -> Tensor:
    """pythae's [B, M, K, n] as [M K, B, n], the samples of each estimate side by side."""
    return tensor.flatten(1, 2).transpose(0, 1)


class Mended(MIWAE):
    """MIWAE with the suite's loss in place of pythae's."""

    def loss_function(
        self, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, and what pythae shows beside it."""
        log_px_z = log_likelihood(samples_first(recon_x), x)
        q, codes = (mu[:, 0, 0], log_var[:, 0, 0]), samples_first(z)
        loss = vb.loss("miwae", q=q, log_px_z=log_px_z, z=codes, groups=self.gradient_n_estimates)
        rate = vb.loss("elbo", q=q, log_px_z=log_px_z, z=codes) + log_px_z.mean()
        return loss, -log_px_z.mean(1), rate


def build(kind: type[MIWAE], estimates: int, samples: int) -> MIWAE:
    """A model of so many estimates M of so many samples K."""
    settings = MIWAEConfig(
        input_dim=(num_pixels,),
        latent_dim=LATENT,
        reconstruction_loss="bce",
        number_gradient_estimates=estimates,
        number_samples=samples,
    )
    return kind(settings, Encoder(), Decoder())


def fit(model: MIWAE, batches: Iterable[Tensor]) -> None:
    """Train on minibatches, a step for each."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x in batches:
        loss = model({"data": x}).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def compared(model: MIWAE, x: Tensor, estimates: int, samples: int) -> dict[str, float]:
    """Losses of the same networks on the same draws: pythae's, the mended one, and two of the suite
    that MIWAE is at its ends."""
    losses = {}
    for title, kind in (("pythae", MIWAE), ("mended", Mended)):
        other = build(kind, estimates, samples)
        other.load_state_dict(model.state_dict())
        torch.manual_seed(1)
        losses[title] = float(other({"data": x}).loss)
    torch.manual_seed(1)
    mu, log_var = model.encoder(x).embedding, model.encoder(x).log_covariance
    eps = samples_first(torch.randn(len(x), estimates, samples, LATENT))
    z = mu + torch.exp(0.5 * log_var) * eps
    log_px_z = log_likelihood(model.decoder(z).reconstruction, x)
    for objective in ("iwae", "elbo_mc"):
        losses[objective] = float(vb.loss(objective, q=(mu, log_var), log_px_z=log_px_z, z=z))
    return losses


torch.manual_seed(0)
model = build(Mended, ESTIMATES, SAMPLES)
fit(model, (x_train[torch.randint(len(x_train), (BATCH,))] for _ in range(NUM_STEPS)))
model.eval()

if __name__ == "__main__":
    print("estimates,samples,pythae,mended,iwae,elbo_mc")
    for sizes in ((1, 50), (50, 1)):
        losses = compared(model, x_train[:200], *sizes)
        print(*sizes, *(f"{loss:.3f}" for loss in losses.values()), sep=",")

# ------------------------------------------------------------------ for vaebench

name, seed = "pythae MIWAE, mended", 0
data = {"name": "digits", "binarisation": "threshold"}
likelihood = "bernoulli"


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, P] -> mean and log-variance [B, D]."""
    code = model.encoder(x)
    return code.embedding, code.log_covariance


decode = model.decoder.layers  # codes -> logits
