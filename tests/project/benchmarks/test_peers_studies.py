"""The race over whole studies: all train the same objectives, and a quick one goes through."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.peers.studies.laps import Lap, race
from benchmarks.peers.studies.programs import COLD, FROM_DISK, PROGRAMS, STUDY, Work
from benchmarks.peers.studies.report import figure, table, targets
from benchmarks.peers.studies.variants import (
    LIKELIHOODS,
    NUM_SEEDS,
    NUM_STEPS,
    NUM_TRAIN,
    SIZE,
    VARIANTS,
    minibatches,
)
from benchmarks.peers.with_vaebench import LAYERS
from vaebench.config.build import build_stack, load_data, streams
from vaebench.config.study import expand, read
from vaebench.ops import densities
from vaebench.ops.recorded_draws import Replay
from vaebench.training.scalars import scalars
from vaebench.training.step import loss_of

STEP = 1000
"""Within the warm-up."""
TOLERANCE = 1e-5
"""What a loss may be off by, relative to its size."""
CASES = list(itertools.product(LIKELIHOODS, VARIANTS))


@pytest.fixture(scope="module")
def configs():
    """One for each variant, in the order of CASES."""
    everything = expand(read(STUDY))
    assert len(everything) == len(CASES) * NUM_SEEDS
    return [config for config in everything if config.seed == 0]


def numbers(variant):
    """Images of zeros and ones [B, P], and normals [K, B, D]."""
    generator = np.random.default_rng(1)
    x = (generator.random((SIZE.batch, SIZE.pixels)) < 0.3).astype(np.float32)
    shape = variant.num_samples, SIZE.batch, SIZE.latent
    return x, generator.standard_normal(shape, np.float32)


def our_loss(config, model, x, eps):
    """vaebench's loss of the first run, by the formulas of `densities`."""
    loss = loss_of(config, load_data(config.data))
    here = scalars([config], model.like)(STEP)
    noise = replace(streams([config], "train"), source=Replay(iter([torch.tensor(eps)[:, None]])))
    terms = loss.terms(model, torch.tensor(x)[None], noise, here, operations=densities)
    return loss(terms, here)[0].item()


def weights_of(model):
    """The weights of the first run as the peers have them: {layer: (weight, bias)}, log sigma."""
    values = {name: p.detach()[0].numpy() for name, p in model.named_parameters()}
    layers = {
        layer: (values[f"{name}.weight"], values[f"{name}.bias"][0])
        for layer, name in LAYERS.items()
    }
    return layers, values.get("learned.log_sigma")


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_loop_of_torch_has_the_objectives_of_the_study(case, configs):
    from benchmarks.peers.studies.with_torch import Network, loss

    (likelihood, variant), config = CASES[case], configs[case]
    assert config.likelihood.name == likelihood
    model, network = build_stack([config], (8, 8)), Network(likelihood)
    layers, log_sigma = weights_of(model)
    encoder, decoder = network.encoder, network.decoder
    affine = {
        "encode": [encoder.hidden],
        "posterior": [encoder.mu, encoder.log_var],
        "decode": [decoder.hidden],
        "logits": [decoder.logits],
    }
    for name, modules in affine.items():
        weight, bias = (np.split(part, len(modules), -1) for part in layers[name])
        for linear, w, b in zip(modules, weight, bias, strict=True):
            linear.weight.data, linear.bias.data = torch.tensor(w.T), torch.tensor(b)
    if log_sigma is not None:
        network.log_sigma.data = torch.tensor(log_sigma)
    x, eps = numbers(variant)
    weight = float(variant.weights(NUM_STEPS)[STEP])
    ours = our_loss(config, model, x, eps)
    theirs = loss(network, torch.tensor(x), torch.tensor(eps), weight, variant)
    assert theirs.item() == pytest.approx(ours, rel=TOLERANCE)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_program_in_jax_has_the_objectives_of_the_study(case, configs):
    pytest.importorskip("jax", reason="needs what `nox -s peers` installs")
    from benchmarks.peers.studies.with_jax import loss

    (likelihood, variant), config = CASES[case], configs[case]
    model = build_stack([config], (8, 8))
    weights, log_sigma = weights_of(model)
    if log_sigma is not None:
        weights["log_sigma"] = log_sigma
    x, eps = numbers(variant)
    weight = variant.weights(NUM_STEPS)[STEP]
    theirs = float(loss(weights, x, eps, weight, likelihood, variant))
    assert theirs == pytest.approx(our_loss(config, model, x, eps), rel=TOLERANCE)


def test_the_peers_train_on_as_many_images_as_vaebench(configs):
    assert len(load_data(configs[0].data).train) == NUM_TRAIN


def test_every_epoch_takes_an_image_at_most_once():
    per_epoch = NUM_TRAIN // SIZE.batch
    rows = minibatches(2 * per_epoch + 1, seed=3)
    epochs = [rows[i * per_epoch : (i + 1) * per_epoch] for i in range(2)]
    assert rows.shape == (2 * per_epoch + 1, SIZE.batch)
    assert all(len(set(epoch.flat)) == epoch.size for epoch in epochs)
    assert not np.array_equal(*epochs)


def test_laps_that_are_known_are_not_run_again():
    work = Work(num_steps=1, num_seeds=1)
    known = [
        Lap(0, program.name, cores, start, work.num_steps, work.num_runs, wall_s=1.0)
        for program in PROGRAMS
        for cores in program.cores
        for start in program.starts
    ]
    assert list(race(work, 1, known, print)) == []


def lap(program, num_cores, start, wall_s, index=0, **more):
    losses = {"bernoulli": 20.0, "gaussian_learned": -40.0}
    return Lap(index, program, num_cores, start, 5000, 140, wall_s, loss_nats=losses, **more)


LAPS = [
    lap("vaebench", 1, COLD, 70.0),
    lap("vaebench", 1, COLD, 190.0, index=1),
    lap("vaebench", 2, COLD, 50.0),
    lap("jax", 1, COLD, 100.0),
    lap("jax", 1, COLD, 200.0, index=1),
    lap("jax", 2, COLD, 80.0),
    lap("jax-processes", 2, COLD, 100.0),
    lap("pytorch-examples", 1, COLD, 900.0, extrapolated_s=800.0),
]


def test_ratios_of_studies_are_taken_within_rounds_against_the_faster_of_jax():
    ratios = table(LAPS).set_index(["program", "cores"])["x JAX"]
    assert ratios["vaebench", "1"] == "0.825"
    assert ratios["vaebench", "2"] == "0.625"
    assert ratios["jax-processes", "2"] == "1.25"


def test_targets_of_studies():
    met = targets(LAPS).set_index("ratio")[["measured", "met"]]
    assert dict(met.T.to_dict("list")) == {
        "whole study, one core, cold: vaebench / JAX": ["0.825", "no"],
        "whole study, cold: vaebench on one core / on two": ["1.4", "no"],
    }


def test_what_was_not_measured_is_said_and_not_drawn():
    lines = table([*LAPS, Lap(0, "jax", 1, FROM_DISK, 5000, 140, failure="it fell")])
    by_program = lines.set_index("program")
    assert by_program.loc["pytorch-examples", "seconds"] == "about 900.0"
    assert lines.iloc[-1]["in the time"] == "it fell"
    names = [label.get_text() for label in figure(LAPS).axes[0].get_yticklabels()]
    assert not any("pytorch" in name for name in names)


@pytest.mark.slow
def test_a_quick_study_goes_through(monkeypatch):
    """Both programs that need nothing beside the package, from a cold process."""
    ours = [replace(p, cores=(1,), starts=(COLD,)) for p in PROGRAMS if p.system != "JAX"]
    monkeypatch.setattr("benchmarks.peers.studies.laps.PROGRAMS", ours)
    laps = list(race(Work(num_steps=2, num_seeds=1), 1, [], print))[-1]
    assert {lap.program for lap in laps} == {"vaebench", "pytorch-examples"}
    assert not any(lap.failure for lap in laps)
    assert all(lap.wall_s > 0.0 for lap in laps)
    assert all(set(lap.loss_nats) == set(LIKELIHOODS) for lap in laps)
