"""Sample quality: the Frechet distance between images of the model and held-out images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.data import Dataset, Part
from vaebench.evaluate.chunks import bytes_for, rows_within
from vaebench.evaluate.grading import Grade, Graded, Subject, each_run, grading
from vaebench.noise import Noise
from vaebench.optimise import AdamScalars, Moments, fused_adam

NUM_FEATURES = 32
CLASSIFIER_STEPS = 500


@dataclass(frozen=True)
class Extractor:
    """Features [N, F] of intensities [N, P], and what they are, for the protocol of a row."""

    features: Callable[[Tensor], Tensor]
    described: str


@grading(source="Heusel et al. 2017, eq. 6")
def samples(subject: Subject) -> list[Grade]:
    """Frechet distance between images of the model and test images."""
    images = prior_means(subject.model, subject.noise, subject.num_images)
    extractor = extractor_for(subject.dataset)
    distances = frechet_distances(images, subject.dataset, extractor)
    told = (
        f"{extractor.described}, {subject.num_images} means of p(x|z), z from the prior, "
        f"against {len(subject.dataset.test.x)} grey test images"
    )
    return [Grade("frechet", each_run(distances), told)]


@torch.no_grad()
def prior_means(model: Graded, noise: Noise, num_images: int) -> Tensor:
    """E[x|z] for z drawn from the prior: [S, n, P]."""
    z = model.prior().sample(noise, num_images, model.latent).to(model.like)[None]
    num_rows = rows_within(bytes_for(model.like.device), lambda: model.mean_image(z[:, :, :1]))
    return torch.cat([model.mean_image(part)[0] for part in z.split(num_rows, 2)], 1)


def frechet_distances(images: Tensor, dataset: Dataset, extractor: Extractor) -> list[float]:
    """Heusel et al. 2017, eq. 6, of each run's images [S, n, P] to the grey test images."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(nn.Module):
        """torchmetrics asks for a module that states its number of features."""

        num_features = extractor.features(dataset.test.x[:1]).shape[-1]

        def forward(self, x: Tensor) -> Tensor:
            return extractor.features(x).double()

    distance = FrechetInceptionDistance(feature=Features(), reset_real_features=False)
    distance.update(dataset.test.x, real=True)
    values = []
    for run in images.cpu():
        distance.update(run, real=False)
        values.append(float(distance.compute()))
        distance.reset()
    return values


@functools.lru_cache(maxsize=4)
def extractor_for(dataset: Dataset) -> Extractor:
    """A small classifier where the data set has labels, principal components where it has none."""
    return _pca(dataset.train) if dataset.train.y is None else _classifier(dataset.train)


def _pca(train: Part) -> Extractor:
    from sklearn.decomposition import PCA

    num_features = min(NUM_FEATURES, *train.x.shape)
    pca = PCA(num_features, random_state=0).fit(train.x.numpy())
    return Extractor(lambda x: torch.from_numpy(pca.transform(x.numpy())), f"pca {num_features}")


def _classifier(train: Part) -> Extractor:
    """The last hidden layer, before its ReLU, of an MLP trained from seed 0 on training data."""
    assert train.y is not None
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        num_pixels, num_classes = train.x.shape[1], int(train.y.max()) + 1
        body = nn.Sequential(nn.Linear(num_pixels, 128), nn.ReLU(), nn.Linear(128, NUM_FEATURES))
        head = nn.Sequential(nn.ReLU(), nn.Linear(NUM_FEATURES, num_classes))
        parameters = [*body.parameters(), *head.parameters()]
        values = [p.detach() for p in parameters]
        moments = Moments.of_zeros(values)
        for _ in range(CLASSIFIER_STEPS):
            rows = torch.randint(len(train.x), (256,))
            loss = F.cross_entropy(head(body(train.x[rows])), train.y[rows])
            gradients = list(torch.autograd.grad(loss, parameters))
            moments.count.add_(1)
            fused_adam(values, gradients, moments, AdamScalars(learning_rate=2e-3))
    body.requires_grad_(False)
    return Extractor(body, f"classifier {num_pixels}-128-{NUM_FEATURES}")
