"""Which part of the data reaches what: training sees train, grades see test, and weight 1."""

import dataclasses
import math

import pytest
import torch
from torch import distributions

from tests.support.runs import tiny
from vaebench.config.build import build_stack, streams
from vaebench.data import PARTS, Dataset, Images, Part
from vaebench.evaluation import Subject, evaluate, with_own_streams
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.evaluation.samples.extractors import extractor_for
from vaebench.evaluation.samples.features import features_of
from vaebench.evaluation.samples.frechet import frechet, gaussian
from vaebench.ops.noise import Noise, normals
from vaebench.training.loop import train
from vaebench.training.minibatches import batches

CPU = torch.device("cpu")
P, D = 16, 3
NOISE = Noise((1,))
EVALUATION = {"num_samples": 200, "num_images": 30}


def binary(num_images, chance, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(num_images, P, generator=generator) < chance).float()


def parts():
    """Random training images, almost black validation images, almost white test images.

    Of the first D pixels, all vary in train, one in test and none in valid.
    """
    x = {"train": binary(64, 0.4, 0), "valid": binary(24, 0.05, 1), "test": binary(40, 0.95, 2)}
    x["valid"][:, :D] = 0.0
    x["test"][:, :D] = 1.0
    x["test"][::2, 0] = 0.0
    labels = torch.Generator().manual_seed(3)
    return {n: Part(Images(v), torch.randint(3, (len(v),), generator=labels)) for n, v in x.items()}


def dataset_of(**other_parts):
    """The data set by hand, with other parts in the place of some."""
    return Dataset("by hand", (4, 4), "static", "f", **(parts() | other_parts))


def garbage(name):
    """Other images, fewer of them, with other labels."""
    x = binary(len(parts()[name].x) - 7, 0.5, 99)
    return Part(Images(x), torch.arange(len(x)) % 2)


@pytest.fixture
def model():
    """A linear VAE whose posterior mean is the first D pixels; dark images are likelier."""
    built = build_stack([tiny(model={"name": "linear", "latent_dim": D, "widths": []})], (P,))
    built.requires_grad_(False)
    built.encoder.mu.weight.copy_(torch.eye(P, D)[None])
    built.encoder.mu.bias.zero_()
    built.decoder.bias.fill_(-1.0)
    return built


# ------------------------------------------------------------------ evaluation


@pytest.mark.parametrize("part", PARTS)
def test_each_figure_is_made_from_its_part_and_no_other(model, part):
    """Other images in one part change the figures of that part, and only those."""
    figures = [
        evaluate(Subject(model, dataset, NOISE, **EVALUATION)).values
        for dataset in (dataset_of(), dataset_of(**{part: garbage(part)}))
    ]
    changed = {name for name, value in figures[0].items() if figures[1][name] != value}
    of_valid = {"valid_elbo", "valid_nll"}
    by_features = {"frechet", "kid", "precision", "recall", "density", "coverage"}
    of_train = by_features | {"memorised"}
    of_test = figures[0].keys() - of_valid - {"memorised"}
    counted = {"precision", "recall", "density", "coverage", "memorised", "collapsed"}  # may agree
    expected = {"train": of_train, "valid": of_valid, "test": of_test}[part]
    assert expected - counted <= changed <= expected


def test_the_figures_are_those_of_the_test_part(model):
    x = {name: part.x for name, part in parts().items()}
    subject = Subject(model, dataset_of(), NOISE, **EVALUATION)
    computed = {n: v[0] for n, v in evaluate(subject).values.items()}
    of = {n: bounds(model, v, Noise((2,)), num_samples=200) for n, v in x.items()}
    for figure in ("elbo", "nll", "rate", "distortion"):
        expected = float(getattr(of["test"], figure).mean())
        assert computed[figure] == pytest.approx(expected, abs=0.4), figure
    for figure in ("elbo", "nll"):
        expected = float(getattr(of["valid"], figure).mean())
        assert computed[f"valid_{figure}"] == pytest.approx(expected, abs=0.4), figure
    assert float(of["test"].nll.mean() - of["valid"].nll.mean()) > 4
    assert computed["active_units"] == 1  # 3 in train, 0 in valid
    logits = x["test"][:, :D] @ model.decoder.weight[0] + model.decoder.bias[0]
    error = (x["test"] - logits.sigmoid()).square().mean()
    assert computed["mse"] == pytest.approx(float(error), rel=1e-4)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_extractor_is_trained_on_train_only(labelled):
    def extractor(dataset):
        if not labelled:
            dataset = dataclasses.replace(dataset, train=Part(Images(dataset.train.x), None))
        return extractor_for(dataset)

    probe = binary(20, 0.5, 7)
    ours = extractor(dataset_of()).features(probe)
    same = extractor(dataset_of(valid=garbage("valid"), test=garbage("test"))).features(probe)
    other = extractor(dataset_of(train=garbage("train"))).features(probe)
    assert torch.equal(ours, same)
    assert not torch.equal(ours, other)


def test_the_frechet_distance_is_to_test():
    dataset = dataset_of()
    extractor = extractor_for(dataset)
    features = {name: features_of(extractor, getattr(dataset, name).x) for name in PARTS}
    real = gaussian(features["test"])
    distances = {
        name: float(frechet(real, feature[None]).value) for name, feature in features.items()
    }
    assert distances["test"] == pytest.approx(0.0, abs=1e-3)
    assert min(distances["train"], distances["valid"]) > 1.0


# ------------------------------------------------------------------ training


def run_config(**changes):
    settings = {"num_steps": 60, "batch_size": 16, "learning_rate": 0.02}
    return tiny(model={"latent_dim": D, "widths": [8]}, train=settings, **changes)


def rows_within(rows, images):
    """Whether each row is one of the images."""
    return (rows[:, None] == images[None]).all(-1).any(1)


def test_batches_are_of_the_training_part():
    dataset = dataset_of()
    seen = torch.cat([some[0][0] for some in batches([run_config()], dataset, torch.zeros(()))])
    assert rows_within(seen, dataset.train.x).all()
    assert rows_within(dataset.train.x, seen).all()
    for held_out in (dataset.valid.x, dataset.test.x):
        assert not rows_within(held_out, dataset.train.x).any()


@pytest.mark.parametrize("part", PARTS)
def test_weights_depend_on_train_and_the_curve_on_valid_beside(part):
    trained, other = (
        train([run_config()], dataset, CPU)
        for dataset in (dataset_of(), dataset_of(**{part: garbage(part)}))
    )
    pairs = zip(trained.model.parameters(), other.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) is (part != "train")
    same_curve = trained.curves[0]["valid_elbo_nats"] == other.curves[0]["valid_elbo_nats"]
    assert same_curve is (part == "test")


def test_the_last_point_of_the_curve_is_the_bound_on_valid():
    dataset = dataset_of()
    trained = train([run_config()], dataset, CPU)
    assert trained.curves[0]["step"][-1] == 60.0
    elbo = {
        name: float(bounds(trained.model, x, NOISE, num_samples=100).elbo.mean())
        for name, x in (("valid", dataset.valid.x), ("test", dataset.test.x))
    }
    assert abs(elbo["valid"] - elbo["test"]) > 4
    assert trained.curves[0]["valid_elbo_nats"][-1] == pytest.approx(elbo["valid"], abs=1.0)


# ------------------------------------------------------------------ grades


def grades_by_hand(model, x, noise, num_samples):
    """elbo and nll at weight 1, from log densities written with torch.distributions."""
    prior = distributions.Normal(0.0, 1.0)
    q = model.posterior(x[None])
    posterior = distributions.Normal(q.mu, torch.exp(0.5 * q.log_var))
    eps = normals(noise, num_samples, len(x), D)
    z = posterior.loc + posterior.scale * eps
    log_px_z = distributions.Bernoulli(logits=model.decode(z)).log_prob(x).sum(-1)
    log_w = log_px_z + (prior.log_prob(z) - posterior.log_prob(z)).sum(-1)
    rate = distributions.kl_divergence(posterior, prior).sum(-1)
    nll = math.log(num_samples) - torch.logsumexp(log_w, 0)
    return float((log_px_z.mean(0) - rate).mean()), float(nll.mean()), float(rate.mean())


RISING = {"name": "linear", "start": 0.0, "stop": 0.1, "over": 1.0}
VARIANTS = {
    "rate weight": {"rate_weight": 0.1},
    "schedule": {"rate_weight": RISING},
    "beta": {"objective": {"name": "beta_elbo", "beta": 8.0}},
    "small beta": {"objective": {"name": "beta_elbo", "beta": 0.1}},
}


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_graded_with_weight_one(variant):
    """The posterior is moved away after training: beta = 8 leaves no rate to be weighted."""
    config, dataset = run_config(**VARIANTS[variant]), dataset_of()
    with torch.enable_grad():
        model = train([config], dataset, CPU).model
    *_, bias = model.encoder.parameters()
    bias[..., :D] += 1.5
    subject = Subject(model, dataset, streams([config], "evaluate"), num_samples=50, num_images=30)
    computed = evaluate(subject).values
    elbo, nll, rate = grades_by_hand(
        model, dataset.test.x, with_own_streams(subject, "likelihood").noise, 50
    )
    assert variant == "beta" or rate > 2  # else another weight would not show
    assert computed["elbo"][0] == pytest.approx(elbo, rel=1e-4)
    assert computed["nll"][0] == pytest.approx(nll, rel=1e-4)
    assert computed["rate"][0] == pytest.approx(rate, rel=1e-4)
