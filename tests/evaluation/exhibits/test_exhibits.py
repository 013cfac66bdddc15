"""What is shown of a model whose codes are its examples, and of data whose neighbours are known."""

from dataclasses import replace

import pytest
import torch

from tests.support.runs import run_config
from vaebench.config.build import build_stack
from vaebench.data import Dataset, Images, Part
from vaebench.evaluation import Subject
from vaebench.evaluation.exhibits import EXHIBITS, exhibited
from vaebench.evaluation.exhibits.manifold import SIDE, plane
from vaebench.evaluation.exhibits.marginals import count_checks, moments
from vaebench.evaluation.exhibits.neighbours import nearest, neighbours
from vaebench.evaluation.exhibits.reconstructions import reconstructions
from vaebench.evaluation.exhibits.traversals import (
    MOST_DIMENSIONS,
    REACH,
    classes,
    line,
    traversals,
)
from vaebench.evaluation.grading import with_own_streams
from vaebench.evaluation.samples.drawn import prior_means
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.priors import STANDARD_NORMAL
from vaebench.ops.noise import Noise, normals
from vaebench.running.external.model import ExternalModel

NUM_PIXELS = 4
X = normals(Noise((1,)), 1, 90, NUM_PIXELS)[0, 0]


def data(values=None, x=X):
    train, test = Part(Images(x[30:]), None), Part(Images(x[:30]), None)
    return Dataset("x", (2, 2), "none", "f", train, test, test, values=values)


def identity(dim=NUM_PIXELS, likelihood="gaussian", decode=lambda z: z, **hyper):
    return ExternalModel(
        lambda x: (x[:, :dim], torch.full((len(x), dim), -60.0)),
        decode,
        LIKELIHOODS[likelihood],
        hyper,
        STANDARD_NORMAL,
        Latent(dim),
        torch.zeros(1),
        NUM_PIXELS,
    )


def subject(model=None, **more):
    return Subject(model or identity(sigma=1e-6), data(**more), Noise((5,)))


def test_a_model_that_gives_all_back_reconstructs_exactly():
    originals, reconstructed = reconstructions(subject())[0]
    assert torch.equal(originals, X[:10]) and torch.equal(reconstructed, originals)


def test_a_traversal_moves_one_dimension_over_its_reach_and_keeps_the_rest():
    """The codes are the examples, so what is drawn is the path itself."""
    spread = X * torch.tensor([1.0, 9.0, 3.0, 27.0])
    paths = traversals(subject(x=spread))[0]
    for path, moved in zip(paths, [3, 1, 2, 0], strict=True):
        low, high = spread[:30, moved].quantile(torch.tensor(REACH))
        torch.testing.assert_close(path[:, moved], torch.linspace(0, 1, 7) * (high - low) + low)
        still = [i for i in range(NUM_PIXELS) if i != moved]
        assert torch.equal(path[:, still], spread[:1, still].expand(7, -1))


def test_what_the_decoder_ignores_comes_last_however_much_it_varies():
    heard = torch.tensor([0.0, 1.0, 0.0, 0.0])
    paths = traversals(subject(identity(decode=lambda z: z * heard, sigma=1.0), x=9.0 * X))[0]
    assert paths[0, :, 1].unique().numel() == 7
    assert paths[1:].var(1).max() == 0.0


def test_layers_below_a_dimension_follow_it():
    """The decoder sees the first layer alone, which does not change where the others move."""
    config = run_config(
        "elbo", posterior="ladder", prior="hierarchical", model={"layer_dims": [2, 1]}
    )
    model = build_stack([config], (2, 2)).requires_grad_(False)
    paths = traversals(Subject(model, data(x=X.sigmoid()), Noise((5,))))
    assert paths.shape[1] == 3 and (paths.var(2).sum(-1) > 0.0).all()


def test_at_most_eight_dimensions_of_a_code_are_drawn():
    x = normals(Noise((1,)), 1, 90, 12)[0, 0]
    model = replace(identity(12, sigma=1.0), num_outputs=12)
    wide = Subject(model, replace(data(x=x), image_shape=(3, 4)), Noise((5,)))
    assert traversals(wide).shape == (1, 8, 7, 12)


def test_a_code_of_too_many_dimensions_to_try_each_is_not_drawn():
    def fits(dim):
        return EXHIBITS["traversals"].fits(subject(replace(identity(), latent=Latent(dim))))

    assert fits(MOST_DIMENSIONS) and not fits(MOST_DIMENSIONS + 1)


def test_runs_may_move_different_dimensions():
    codes = torch.arange(12.0).reshape(2, 3, 2)
    path = line(codes, torch.tensor([1, 0]))
    assert torch.equal(path[0, :, 0], codes[0, :1, 0].expand(7)) and path[0, :, 1].diff().min() > 0
    assert torch.equal(path[1, :, 1], codes[1, :1, 1].expand(7)) and path[1, :, 0].diff().min() > 0


def test_a_discrete_variable_takes_each_class_in_turn():
    codes = torch.tensor([[[0.1, 0.7, 0.2, 1.0, 0.0, 0.0], [0.1, 0.7, 0.2, 0.0, 0.0, 1.0]]])
    moved = [
        classes(3, codes, torch.tensor([i]))[0].unflatten(-1, (2, 3)).argmax(-1).tolist()
        for i in range(2)
    ]
    assert moved == [[[0, 0], [1, 0], [2, 0]], [[1, 0], [1, 1], [1, 2]]]


def test_the_nearest_training_example_is_the_one_that_a_sample_was_moved_from():
    train, chosen = X[30:], torch.tensor([[7, 0, 59], [3, 3, 21]])
    x = train[chosen] + 1e-3
    assert torch.equal(nearest(x, Images(train)), train[chosen])


def test_samples_beside_their_neighbours_are_the_first_of_the_sheet():
    of_samples = with_own_streams(subject(), "samples")
    drawn, near = neighbours(subject())[0]
    assert torch.equal(drawn, prior_means(of_samples.model, of_samples.noise, 64)[0, :10])
    assert torch.equal(near, X[30:][torch.cdist(drawn, X[30:]).argmin(1)])


def test_a_plane_spans_the_prior_from_left_to_right_and_from_bottom_to_top():
    z = torch.stack([torch.arange(101.0), 10 * torch.arange(101.0)], -1)[None]
    grid = plane(z)[0]
    even = 100 * (torch.arange(SIDE) + 0.5) / SIDE
    torch.testing.assert_close(grid[0, :, 0], even)
    torch.testing.assert_close(grid[:, 0, 1], 10 * even.flip(0))


def test_replicas_of_a_model_that_gives_all_back_are_on_the_diagonal():
    real, model = moments(subject(values="real"))[0].double().unbind(1)
    torch.testing.assert_close(real, model, atol=1e-5, rtol=0)
    torch.testing.assert_close(real[1], X[:30].double().std(0), atol=1e-5, rtol=0)


def test_counts_are_checked_by_mean_zeros_and_dispersion():
    counts = torch.tensor([[0.0, 5, 1, 0], [0, 7, 0, 0], [4, 9, 2, 0]]).repeat(30, 1)
    model = identity(likelihood="poisson", decode=lambda z: (z + 1e-6).log())
    of_data, of_model = count_checks(subject(model, values="counts", x=counts))[0].unbind(1)
    assert of_data[1].tolist() == pytest.approx([2 / 3, 0.0, 1 / 3, 1.0])
    assert of_data[2, 1] == pytest.approx(counts[:30, 1].var() / 7.0)
    assert of_model[1, 3] == 1.0 and of_model.shape == (3, 4)


NAMES = {"neighbours", "reconstructions", "traversals"}


@pytest.mark.parametrize(
    ("model", "values", "more"),
    [
        (identity(sigma=1.0), None, set()),
        (identity(2, decode=lambda z: z.repeat(1, 2), sigma=1.0), None, {"manifold"}),
        (identity(2, decode=lambda z: z.repeat(1, 2), sigma=1.0), "real", {"moments"}),
    ],
)
def test_only_what_fits_is_shown(model, values, more):
    shown = exhibited(subject(model, values=values))
    assert {one.entry.name for one in shown} == NAMES | more
    assert all(one.x.shape[0] == 1 and one.x.device.type == "cpu" for one in shown)


def test_vectors_that_are_too_long_for_a_line_are_left_to_the_charts():
    x = normals(Noise((1,)), 1, 90, 300)[0, 0]
    wide = replace(data("real", x), image_shape=(300,))
    model = replace(identity(300, sigma=1.0), num_outputs=300)
    shown = exhibited(Subject(model, wide, Noise((5,))))
    assert {one.entry.name for one in shown} == {"moments"}
