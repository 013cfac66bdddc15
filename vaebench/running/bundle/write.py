"""Writes a trained run as a folder of plain PyTorch, and checks what is written."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from vaebench import results
from vaebench.core.arguments import path
from vaebench.core.errors import InputError
from vaebench.models import VAE
from vaebench.models.likelihoods.outputs import identity
from vaebench.models.posteriors import Distribution
from vaebench.models.posteriors.flows import Flow
from vaebench.running.bundle.distributions import posterior_law, prior_law
from vaebench.running.bundle.law import Network
from vaebench.running.bundle.one_run import Applied, one_run
from vaebench.running.bundle.page import NETWORK, PAGE, WRITTEN_BY
from vaebench.running.bundle.source import Source, held, indented
from vaebench.running.environment import describe
from vaebench.running.restoring import load_model
from vaebench.running.trained import TrainedModel

FORMAT = 1
WEIGHTS, MEANING, SOURCE = "weights.safetensors", "model.json", "model.py"
NUM_CHECKED = 16
"""Examples on which what is written is compared with the run."""
TOLERANCE = 1e-6
"""How far an output in float64 may be from the run's, relative to those above 1."""


def export(
    folder: str | Path, run: str | Sequence[str], out: str | Path, *, plugins: Sequence[str] = ()
) -> Path:
    """Write the trained model of one run as plain PyTorch to the folder `out`, and return it.

    `run` and `plugins`: as `load_model` has them. What is written is loaded again and compared with
    the run in float64 before it is kept. Raises InputError for a run that cannot be loaded, and for
    networks, a posterior or a prior that cannot be written, with the reason.
    """
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise InputError(
            "a model is written by safetensors, which is not installed: install the extra, "
            ".[export]"
        ) from error
    target = path("out", out)
    _check_replaceable(target)
    trained = load_model(folder, run, plugins=plugins)
    trained = replace(trained, vae=trained.vae.cpu())
    record = results.read(Path(folder), trained.run)
    with torch.random.fork_rng(devices=[]):  # new layers draw their first weights
        labels = record.labels
        page, weights = written(
            trained, f"{labels.variant}, {labels.likelihood}, seed {labels.seed}"
        )
        check(page, weights, trained)
    results.writable(target)
    results.write_atomically(target / WEIGHTS, save(weights, {"format": "pt"}))
    results.write_atomically(target / MEANING, results.encoded(meaning(trained, record)))
    results.write_atomically(target / SOURCE, page.encode())
    return target


def _check_replaceable(target: Path) -> None:
    """Raises InputError where files of these names are there that no export wrote."""
    there = [name for name in (WEIGHTS, MEANING, SOURCE) if (target / name).exists()]
    page = target / SOURCE
    is_export = page.is_file() and WRITTEN_BY in page.read_text(errors="replace")
    if there and not is_export:
        raise InputError(
            f"the output folder must be new, or one that an export wrote; {target} has a "
            f"{there[0]} of other origin: choose another folder"
        )


def written(trained: TrainedModel, described: str) -> tuple[str, dict[str, Tensor]]:
    """The file model.py, which begins with a description of the run, and the tensors that it
    loads, by name. Raises InputError."""
    model, source = trained.vae, Source()
    networks = {
        "encoder": _after(model.likelihood.encoder_input, one_run(model.encoder)),
        "decoder": _after(_seen(model), one_run(model.decoder)),
        "mean": _mean(model),
    }
    expressions = {name: source.expression(part, f"{name}.") for name, part in networks.items()}
    laws = _laws(model, source)
    page = PAGE.format(
        run=trained.run,
        described=described,
        version=describe("cpu")["vaebench"],
        written_by=WRITTEN_BY,
        classes="".join(f"\n{text}\n" for text in source.classes.values()),
        pixels=trained.dataset.num_pixels,
        numbers=model.family.posterior.num_inputs(model.latent),
        width=model.family.posterior.code_width(model.latent),
        outputs=trained.dataset.num_pixels * model.likelihood.outputs_per_pixel,
        **{name: indented(expression).lstrip() for name, expression in expressions.items()},
        **laws,
    )
    return page, {name: tensor.contiguous().clone() for name, tensor in source.tensors.items()}


def _laws(model: VAE, source: Source) -> dict[str, str]:
    """What the page says of q(z|x) and p(z); their networks and tensors go into the source.

    The prior holds a network that both have.
    """
    q, p = posterior_law(model), prior_law(model)
    networks = {network.name: ("", network) for network in (q.network,) if network}
    networks |= {network.name: ("prior.", network) for network in (p.network,) if network}
    functions = [
        NETWORK.format(name=name, says=network.says, expression=_nested(network, owner, source))
        for name, (owner, network) in networks.items()
    ]
    of_prior = [held(name, tensor) for name, tensor in p.tensors.items()]
    source.tensors |= {f"prior.{name}": tensor for name, tensor in p.tensors.items()}
    attributes = {name: f"self.{name} = {name}()\n" for name in networks}
    of_model = [attributes[name] for name, (owner, _) in networks.items() if not owner]
    of_prior += [attributes[name] for name, (owner, _) in networks.items() if owner]
    of_q = q.network and f"self.{networks[q.network.name][0]}{q.network.name}"
    helpers = dict.fromkeys(filter(None, (q.helpers, p.helpers)))
    return {
        "networks": "".join(functions),
        "helpers": "".join(f"{text}\n\n" for text in helpers),
        "arguments": "numbers: Tensor" + (", network: nn.ModuleList" if of_q else ""),
        "call": "self.encoder(x)" + (f", {of_q}" if of_q else ""),
        "posterior": indented(q.body),
        "tensors": indented(indented("".join(of_prior))),
        "prior": indented(indented(p.body)),
        "holds": indented(indented("".join(of_model))),
    }


def _nested(network: Network, owner: str, source: Source) -> str:
    return indented(source.expression(network.module, f"{owner}{network.name}.")).lstrip()


def _seen(model: VAE) -> Any:
    """What the decoder sees of a code: its first layer of latents, or all."""
    num, width = model.family.num_decoded, model.family.posterior.code_width(model.latent)
    return identity if num == width else lambda z: z[..., :num]


def _after(function: Any, network: nn.Module) -> nn.Module:
    """A network of what a function makes of its input."""
    return network if function is identity else nn.Sequential(Applied(function, "Read"), network)


def _mean(model: VAE) -> nn.Module:
    """The mean of p(x|z) as a module."""
    function = model.likelihood.mean
    return nn.Identity() if function is identity else Applied(function, "Mean")


def meaning(trained: TrainedModel, record: results.Record) -> dict[str, Any]:
    """What model.json says."""
    model, data = trained.vae, trained.dataset
    entry = model.likelihood
    scalars = {
        **model.likelihood_hyper.values(model.like),
        **dict(model.learned.items()),
        **model.fitted.values(model.like),
    }
    scaling = data.train.images.reading.scaling
    return {
        "format": FORMAT,
        "run": trained.run,
        "example": {
            "data": record.labels.dataset,
            "fingerprint": data.fingerprint,
            "stored_axes": list(data.image_shape),
            "rows": "stored axes flattened row-major, the last one fastest",
            "values": data.values
            or f"intensities: bytes are divided by {data.train.images.reading.white:g}",
            "binarisation": data.binarisation,
            "dequantised": "(k + u) / 256, u uniform" if data.dequantised else None,
            "standardised": None
            if scaling is None
            else {
                "rule": "(x - shift) / scale",
                "shift": scaling.shift.tolist(),
                "scale": scaling.scale.tolist(),
            },
            "library_size": "added to the first P outputs: log(sum of x / P)"
            if data.by_library
            else None,
        },
        "posterior": model.family.posterior.name,
        "prior": model.family.prior.name,
        "likelihood": {
            "name": entry.name,
            "outputs_per_pixel": entry.outputs_per_pixel,
            "scalars": {name: float(value) for name, value in scalars.items()},
            "meaning": inspect.getdoc(entry.log_prob),
        },
        "config": msgspec.to_builtins(trained.config),
        "made_with": describe("cpu"),
    }


@torch.no_grad()
def check(page: str, weights: Mapping[str, Tensor], trained: TrainedModel) -> None:
    """Raises InputError where what is written gives other numbers than the run."""
    names: dict[str, Any] = {"__file__": "model.py"}
    exec(compile(page, "model.py", "exec"), names)
    written_model = names["Model"]().double().eval()
    written_model.load_state_dict({name: tensor.double() for name, tensor in weights.items()})
    model = trained.vae.of_run(0).double()
    x = trained.dataset.observations("test")[:NUM_CHECKED].to(model.like)
    q = written_model.posterior(x)
    z = q.sample()
    pairs = {
        "encoder": (written_model.encoder(x), model.encoded(x[None])[0]),
        "decoder": (written_model.decoder(z), model.decode(z[None, None])[0, 0]),
        "mean": (written_model.mean(written_model.decoder(z)), _mean_of(model, z)),
        "log p(z)": (
            written_model.prior().log_prob(z),
            model.prior().log_prob(z[None, None])[0, 0],
        ),
        **_of_posterior(q, model.posterior(x[None]), z),
    }
    for what, (computed, expected) in pairs.items():
        error = (computed - expected).abs() / expected.abs().clamp_min(1.0)
        if not bool(error.max() < TOLERANCE):
            raise InputError(
                f"the {what} of {trained.run} cannot be written as plain PyTorch: it would be off "
                f"by {float(error.max()):.1g}, as where a layer draws, or keeps what it has seen"
            )


def _of_posterior(q: Any, expected: Distribution, z: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What q(z|x) gives at codes z, as it is written and as the run has it; of a flow, which may
    have no inverse, what its maps make of them."""
    if isinstance(expected, Flow):
        images = _through(q.maps, z), _through(expected.maps, z[None, None])[0, 0]
        return {"q(z|x)": images, "log q(z_0|x)": _log_probs(q.base, expected.base, z)}
    return {"log q(z|x)": _log_probs(q, expected, z)}


def _log_probs(q: Any, expected: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
    return q.log_prob(z), expected.log_prob(z[None, None])[0, 0]


def _through(maps: Iterable[Any], z: Tensor) -> Tensor:
    """The image of maps, with log |det J| of all of them beside it: [..., D + 1]."""
    log_dets = []
    for one in maps:
        z, log_det = one.forward(z)
        log_dets.append(log_det)
    return torch.cat([z, torch.stack(log_dets).sum(0)[..., None]], -1)


def _mean_of(model: VAE, z: Tensor) -> Tensor:
    return model.mean_image(z[None, None])[0, 0]
