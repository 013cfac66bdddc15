"""The convolutional model: PyTorch's own layers run by run, any image size, every likelihood."""

import copy
import io
import itertools

import numpy as np
import pytest
import torch

from tests.support.runs import (
    BATCH,
    close,
    isolated,
    run_config,
    seen_by,
    steps_of,
    tiny,
    trace,
)
from tests.support.runs import K as NUM_SAMPLES
from vaebench.config import parse
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.diagnostics.gradients.replicas import points, replicas
from vaebench.models import Family, build, select, weights
from vaebench.models.likelihoods import COUNTS, LIKELIHOODS
from vaebench.models.networks import layers as stacked
from vaebench.models.networks.convolutional import ConvDecoder, ConvEncoder
from vaebench.models.networks.layers import (
    StackedConv,
    StackedConvTranspose,
    in_pieces,
    out_of_pieces,
)
from vaebench.models.posteriors import Latent
from vaebench.ops.noise import Noise, key

KEYS = tuple(key(seed, "conv") for seed in range(3))
K, S, B, D, C, H, W = 2, 3, 5, 2, 3, 9, 7
CONV = {"name": "conv", "latent_dim": 2, "widths": [3, 4], "num_classes": 3, "num_components": 5}
PIECES = [1, stacked.PIECE]
"""One run in a piece, and the whole stack in one."""


def vae(image_shape, widths=(4, 6), likelihood="bernoulli", keys=KEYS):
    family = Family(LIKELIHOODS[likelihood], latent=Latent(D))
    return build("conv", family, image_shape=image_shape, widths=widths, noise=Noise(keys))


@pytest.fixture(params=PIECES, ids=["pieces of a run", "the stack in a piece"])
def piece(request, monkeypatch):
    monkeypatch.setattr(stacked, "PIECE", request.param)


# ------------------------------------------------------------------ pieces and layers


@pytest.mark.parametrize(("piece", "sizes"), [(1, [1, 1, 1]), (2 * B * 50, [2, 1]), (10**6, [3])])
def test_a_piece_has_as_many_runs_as_fit(monkeypatch, piece, sizes):
    monkeypatch.setattr(stacked, "PIECE", piece)
    x = torch.randn(S, B, C, H, W)
    pieces = in_pieces(x, 50)
    assert [p.shape for p in pieces] == [(B, runs * C, H, W) for runs in sizes]
    assert torch.equal(out_of_pieces(pieces, S), x)


def torchs(layer, run):
    """PyTorch's own layer with the weights of one run."""
    if isinstance(layer, StackedConv):
        num_outputs, num_inputs = layer.weight.shape[1:3]
        layer_of_pytorch = torch.nn.Conv2d(num_inputs, num_outputs, 4, 2, 1)
    else:
        num_inputs, num_outputs = layer.weight.shape[1:3]
        layer_of_pytorch = torch.nn.ConvTranspose2d(num_inputs, num_outputs, 4, 2, 1, layer.odd)
    layer_of_pytorch.to(layer.weight)
    layer_of_pytorch.load_state_dict({name: p[run] for name, p in layer.named_parameters()})
    return layer_of_pytorch


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("kind", "input_shape", "output_shape"),
    [(StackedConv, (H, W), (4, 3)), (StackedConvTranspose, (4, 3), (H, W))],
)
def test_a_layer_is_pytorchs_layer_run_by_run(kind, input_shape, output_shape, dtype):
    layer = kind(C, 6, (H, W), Noise(KEYS)).to(dtype)
    x = torch.randn(S, B, C, *input_shape, dtype=dtype, requires_grad=True)
    upstream = torch.randn(S, B, 6, *output_shape, dtype=dtype)
    out = out_of_pieces(layer(in_pieces(x, layer.numbers_per_row)), S)
    assert layer.numbers_per_row == out[0, 0].numel()
    computed = torch.autograd.grad(out, [x, layer.weight, layer.bias], upstream)
    for run in range(S):
        layer_of_pytorch, x_run = torchs(layer, run), x[run].detach().requires_grad_()
        expected = layer_of_pytorch(x_run)
        torch.testing.assert_close(out[run], expected)
        inputs = [x_run, layer_of_pytorch.weight, layer_of_pytorch.bias]
        for mine, theirs in zip(
            computed, torch.autograd.grad(expected, inputs, upstream[run]), strict=True
        ):
            torch.testing.assert_close(mine[run], theirs)


@pytest.mark.parametrize(("kind", "fan_in"), [(StackedConv, C * 16), (StackedConvTranspose, C * 4)])
def test_layers_start_uniform_within_one_over_root_fan_in(kind, fan_in):
    layer = kind(C, 200, (8, 8), Noise(KEYS))
    scaled = torch.cat([layer.weight.flatten(), layer.bias.flatten()]).detach() * fan_in**0.5
    assert 0.999 < float(scaled.abs().max()) <= 1.0
    # u^2 has mean 1/3 and variance 4/45 for u uniform in [-1, 1].
    error = (4 / 45 / scaled.numel()) ** 0.5
    assert abs(float(scaled.square().mean()) - 1 / 3) < 4.5 * error


def test_a_transposed_layer_adds_up_as_many_numbers_for_every_pixel_inside():
    layer = StackedConvTranspose(C, 1, (12, 12), Noise(KEYS))
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    (out,) = layer(in_pieces(torch.ones(S, 1, C, 6, 6), 1))
    assert torch.equal(out[..., 1:-1, 1:-1], torch.full((1, S, 10, 10), 4.0 * C))


# ------------------------------------------------------------------ networks


def encoded(model, run, images):
    """[B, H, W, C] through PyTorch's own layers with the weights of one run: [B, R]."""
    encoder, y = model.encoder, images.permute(0, 3, 1, 2)
    for layer in encoder.convolutions:
        y = torch.relu(torchs(layer, run)(y))
    return y.flatten(1) @ encoder.affine.weight[run] + encoder.affine.bias[run]


def decoded(model, run, z):
    """[N, D] the same way back, to n images: [N, n, H, W, C]."""
    decoder = model.decoder
    y = z @ decoder.affine.weight[run] + decoder.affine.bias[run]
    y = y.view(-1, *decoder.features)
    for layer in decoder.convolutions:
        y = torchs(layer, run)(torch.relu(y))
    return y.unflatten(1, (decoder.outputs_per_pixel, -1)).permute(0, 1, 3, 4, 2)


SHAPES = [(8, 8), (7, 7), (5, 5), (9, 7), (4, 11), (9, 7, 3), (6, 5, 1)]


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian_per_pixel"])
@pytest.mark.parametrize("image_shape", SHAPES, ids=str)
def test_the_networks_are_pytorchs_layers_run_by_run(image_shape, likelihood):
    model, pixels = vae(image_shape, likelihood=likelihood), int(np.prod(image_shape))
    outputs = LIKELIHOODS[likelihood].outputs_per_pixel
    x, z = torch.rand(S, B, pixels), torch.randn(K, S, B, D)
    numbers, out = model.encoder(x), model.decode(z)
    assert isinstance(model.encoder, ConvEncoder)
    assert isinstance(model.decoder, ConvDecoder)
    assert out.shape == (K, S, B, outputs * pixels)
    for run in range(S):
        images = x[run].view(B, *image_shape[:2], -1)
        torch.testing.assert_close(numbers[run], encoded(model, run, images))
        for sample in range(K):
            expected = decoded(model, run, z[sample, run])
            # Likelihoods take their numbers apart by chunk: n images, each as it is stored.
            for n, image in enumerate(out[sample, run].chunk(outputs, -1)):
                torch.testing.assert_close(image, expected[:, n].flatten(1))


@pytest.mark.parametrize("widths", [(3,), (3, 4), (3, 4, 5)])
def test_an_image_may_be_halved_down_to_one_pixel(widths):
    model = vae((8, 11), widths)
    assert model.decode(torch.randn(K, S, B, D)).shape == (K, S, B, 88)
    assert model.decoder.features == (widths[-1], 8 >> len(widths), 11 >> len(widths))


def test_parameters_are_as_many_as_counted_by_hand():
    numbers = sum(p[0].numel() for p in vae((8, 8), (3, 4)).parameters())
    down = (16 * 3 + 3) + (16 * 3 * 4 + 4) + (4 * 2 * 2 * 2 * D + 2 * D)
    up = (D * 16 + 16) + (16 * 4 * 3 + 3) + (16 * 3 + 1)
    assert numbers == down + up


def test_every_parameter_has_its_runs_first():
    model = vae((8, 8))
    assert all(p.shape[0] == S and p.is_contiguous() for p in model.parameters())
    chosen = select(model, [2, 0])
    for p, q in zip(model.parameters(), chosen.parameters(), strict=True):
        assert torch.equal(q, p[[2, 0]])


def test_a_run_starts_the_same_alone_and_in_a_stack():
    stack, alone = vae((8, 8)), vae((8, 8), keys=KEYS[1:2])
    for a, b in zip(stack.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a[1:2], b)


def test_weights_are_read_back():
    model, other = vae((8, 8)), vae((8, 8), keys=KEYS[:1])
    other.load_state_dict(torch.load(io.BytesIO(weights(model, 1)), weights_only=True))
    z = torch.randn(K, S, B, D)
    assert torch.equal(select(model, [1]).decode(z[:, [1]]), other.decode(z[:, [1]]))
    assert torch.equal(model.decode(z), copy.deepcopy(model).decode(z))


def test_half_precision_stays_near():
    model, z = vae((8, 8)), torch.randn(K, S, B, D)
    with torch.autocast("cpu", torch.bfloat16):
        out = model.decode(z)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), model.decode(z), rtol=0.05, atol=0.05)


def test_the_networks_are_traced_whole():
    """Nothing in them looks at a number: torch.compile can take them in one graph."""
    model, x = vae((9, 7)), torch.rand(S, B, 63)
    for network, inputs in ((model.encoder, x), (model.decoder, torch.randn(S, B, D))):
        traced = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(traced(inputs), network(inputs))


# ------------------------------------------------------------------ training


@pytest.mark.usefixtures("piece")
def test_a_stack_is_its_runs_alone_over_twenty_steps():
    configs = [
        run_config(model=CONV, num_steps=20, seed=seed, learning_rate=rate, max_grad_norm=limit)
        for seed, rate, limit in ((0, 1e-3, None), (1, 1e-2, 0.5), (1, 1e-3, None))
    ]
    assert isolated(configs)


def test_the_check_sees_runs_that_mix(monkeypatch):
    forward = StackedConv.forward

    def mixed(layer, pieces):
        return [image + image.mean(1, keepdim=True) for image in forward(layer, pieces)]

    monkeypatch.setattr(StackedConv, "forward", mixed)
    assert not isolated([run_config(model=CONV, seed=seed) for seed in (0, 1)])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_trains(likelihood, tmp_path):
    data = seen_by(likelihood)
    if LIKELIHOODS[likelihood].support is COUNTS:  # the data set `counts` has no images
        x = np.random.default_rng(0).poisson(3.0, (60, 8, 8))
        np.savez(tmp_path / "images.npz", x_train=x[:40], x_test=x[40:])
        data = {"name": str(tmp_path / "images.npz"), "values": "counts"}
    configs = [
        run_config("elbo", likelihood, model=CONV, num_steps=10, seed=s, data=data) for s in (0, 1)
    ]
    model, steps = steps_of(configs)
    before = [p.detach().clone() for p in model.parameters()]
    losses = torch.stack([step.loss for step in steps])
    assert losses.shape == (10, 2)
    assert losses.isfinite().all()
    for old, new in zip(before, model.parameters(), strict=True):
        assert new.isfinite().all()
        assert not torch.equal(old[0], new[0])
        assert not torch.equal(old[1], new[1])


@pytest.mark.parametrize("codes", [("iaf", "vamp"), ("categorical", "uniform_categorical")])
def test_other_codes_train(codes):
    posterior, prior = codes
    config = run_config("elbo_mc", model=CONV, posterior=posterior, prior=prior, num_samples=2)
    assert trace([config]).isfinite().all()


def test_training_reduces_the_loss():
    model = CONV | {"widths": [8, 16], "latent_dim": 4}
    settings = {"num_steps": 150, "batch_size": 32, "learning_rate": 3e-3, "num_samples": 1}
    losses = trace([run_config(model=model, **settings)])[:, 0, 0]
    assert float(losses[-20:].mean()) < 0.75 * float(losses[0])


def test_pieces_do_not_show(monkeypatch):
    configs = [run_config(model=CONV, seed=seed) for seed in range(3)]
    traces = []
    two_runs = 2 * (NUM_SAMPLES * BATCH) * 64  # codes, and the widest layer's numbers for each
    for piece in (1, two_runs, stacked.PIECE):
        monkeypatch.setattr(stacked, "PIECE", piece)
        traces.append(trace(configs))
    assert all(close(a, b) for a, b in itertools.pairwise(traces))


def test_stacks_of_gradients_do_not_show():
    config = run_config(model=CONV, num_samples=1)
    (point,) = points(config, [0])
    together = next(replicas(point, config, "s", 5))
    # The widest layer gives 8 x 8 pixels for each of the batch; the parameters are fewer.
    apart = list(replicas(point, config, "s", 5, max_elements=2 * BATCH * 8 * 8))
    assert [len(g["encoder"]) for g in apart] == [2, 2, 1]
    for side in ("encoder", "decoder"):
        torch.testing.assert_close(torch.cat([g[side] for g in apart]), together[side])


# ------------------------------------------------------------------ refusals


@pytest.fixture
def npz(tmp_path):
    """A data set of images of any shape."""

    def make(*image_shape):
        path = tmp_path / f"{'x'.join(map(str, image_shape))}.npz"
        images = (np.random.default_rng(0).random((40, *image_shape)) < 0.4).astype(np.uint8)
        np.savez(path, x_train=images[:30], x_test=images[30:])
        return path

    return make


def test_no_widths_are_refused():
    raw = {"objective": "elbo", "likelihood": "bernoulli"}
    with pytest.raises(InputError, match=r"'conv' is refused: it needs a layer: set model.widths"):
        parse(raw | {"model": {"name": "conv", "widths": []}})


@pytest.mark.parametrize(
    ("image_shape", "widths", "message"),
    [
        ((8, 8), [2] * 4, "8x8 pixels have room for at most 3; got 4 widths: shorten"),
        ((9, 3), [2, 2], "9x3 pixels have room for at most 1; got 2 widths"),
        ((1, 9), [2], "1x9 pixels have room for at most 0; got 1 widths"),
        ((64,), [2], r"needs images \[N, height, width\] or .*; got \[N, 64\]: store them so"),
        ((2, 8, 8), [2], r"got \[N, 2, 8, 8\]: store them so, or choose model 'mlp'"),
        *(
            (
                (channels, 8, 8),
                [2],
                rf"got \[N, {channels}, 8, 8\]: that is channels first, so store "
                r"x.transpose\(0, 2, 3, 1\), or choose model 'mlp'",
            )
            for channels in (1, 3)
        ),
    ],
    ids=str,
)
def test_images_that_it_cannot_take_are_refused(npz, image_shape, widths, message):
    model = {"name": "conv", "widths": widths}
    with pytest.raises(InputError, match=message):
        resolve([tiny(npz(*image_shape), model=model)])


@pytest.mark.parametrize("image_shape", [(8, 8), (9, 4, 3)], ids=str)
def test_images_that_it_can_take_train(npz, image_shape):
    model = {"name": "conv", "latent_dim": 2, "widths": [3, 4]}
    (config,) = resolve([tiny(npz(*image_shape), model=model)])
    assert trace([config]).isfinite().all()
