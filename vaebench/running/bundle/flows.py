"""Flow posteriors as source: a Gaussian through invertible maps."""

from __future__ import annotations

from torch import Tensor, nn

from vaebench.models import VAE
from vaebench.models.posteriors.flows import FAR, LEAST_SLOPE, OPEN, SMALLEST, MaskedNetworks
from vaebench.running.bundle.law import Law, Network
from vaebench.running.bundle.one_run import linear

FLOW = '''\
class Flow(distributions.Distribution):
    """A diagonal Gaussian through maps, each of which gives an image and log |det J|."""

    has_rsample = True

    def __init__(self, mu: Tensor, log_var: Tensor, maps: list) -> None:
        normal = distributions.Normal(mu, torch.exp(0.5 * log_var))
        self.base, self.maps = distributions.Independent(normal, 1), maps
        super().__init__(mu.shape[:-1], mu.shape[-1:], validate_args=False)

    def rsample_and_log_prob(self, sample_shape=torch.Size()) -> tuple[Tensor, Tensor]:
        """Samples, and log q(z|x) of each."""
        z = self.base.rsample(sample_shape)
        log_prob = self.base.log_prob(z)
        for one in self.maps:
            z, log_det = one.forward(z)
            log_prob = log_prob - log_det
        return z, log_prob

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def log_prob(self, z: Tensor) -> Tensor:
        log_dets = 0.0
        for one in reversed(self.maps):
            z, log_det = one.inverse(z)
            log_dets = log_dets + log_det
        return self.base.log_prob(z) - log_dets
'''
AUTOREGRESSIVE = f'''

class Autoregressive:
    """g z + (1 - g) m, then reversed; gate g and m of a dimension are functions of those before."""

    def __init__(self, hidden: nn.Module, out: nn.Module, context: Tensor) -> None:
        self.hidden, self.out, self.context = hidden, out, context

    def conditioner(self, z: Tensor) -> tuple[Tensor, Tensor]:
        gate, m = self.out(torch.relu(self.hidden(z) + self.context)).chunk(2, -1)
        return gate + {OPEN}, m

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        logit, m = self.conditioner(z)
        gate = torch.sigmoid(logit)
        return (gate * z + (1.0 - gate) * m).flip(-1), nn.functional.logsigmoid(logit).sum(-1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        image, z = z.flip(-1), torch.zeros_like(z)
        for d in range(z.shape[-1]):
            logit, m = self.conditioner(z)
            gate = torch.sigmoid(logit)
            solved = ((image - (1.0 - gate) * m) / gate).nan_to_num(0.0, {FAR}, -{FAR})
            z = torch.cat([z[..., :d], solved.clamp(-{FAR}, {FAR})[..., d:]], -1)
        return z, nn.functional.logsigmoid(self.conditioner(z)[0]).sum(-1)
'''
PLANAR = f'''

class Planar:
    """z + u tanh(w'z + b), u moved so that w'u > -1. It has no inverse in closed form."""

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        self.u, self.w, self.b = u, w, b

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        wu = (self.w * self.u).sum(-1, keepdim=True)
        squared_norm = self.w.square().sum(-1, keepdim=True)
        allowed = nn.functional.softplus(wu).clamp_min({LEAST_SLOPE}) - 1.0
        moved = torch.where(squared_norm > {SMALLEST}, allowed, wu)
        u = self.u + (moved - wu) * self.w / squared_norm.clamp_min({SMALLEST})
        h = torch.tanh((self.w * z).sum(-1, keepdim=True) + self.b)
        return z + u * h, torch.log1p((1.0 - h.square()) * moved)[..., 0]

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("rsample_and_log_prob gives log q(z|x) of its own samples")
'''
OF_IAF = """\
mu, log_var, context = numbers.split([{dim}, {dim}, {width}], -1)
maps = [Autoregressive(*pair, context) for pair in network]
return Flow(mu, log_var, maps)
"""
OF_PLANAR = """\
mu, log_var, *rest = numbers.split([{dim}, {dim}, *[{dim}, {dim}, 1] * {steps}], -1)
maps = [Planar(*rest[i : i + 3]) for i in range(0, len(rest), 3)]
return Flow(mu, log_var, maps)
"""


def iaf(model: VAE) -> Law:
    """Inverse autoregressive maps, whose masked weights are written as they multiply."""
    masked = model.network
    assert isinstance(masked, MaskedNetworks), "iaf has no other network"
    pairs = [nn.ModuleList([_linear(layer) for layer in of_map]) for of_map in masked.masked()]
    says = "Two masked layers for each map: codes -> gates and means of each dimension."
    network = Network("maps", says, nn.ModuleList(pairs))
    width = masked.width
    body = OF_IAF.format(dim=model.latent.dim, width=width)
    return Law(body, helpers=FLOW + AUTOREGRESSIVE, network=network)


def _linear(layer: tuple[Tensor, Tensor]) -> nn.Linear:
    weight, bias = layer
    return linear(weight[0].detach(), bias[0, 0].detach())


def planar(model: VAE) -> Law:
    """Planar maps, whose parameters are among the encoder's numbers."""
    body = OF_PLANAR.format(dim=model.latent.dim, steps=model.latent.flow_steps)
    return Law(body, helpers=FLOW + PLANAR)
