"""Extractors from files: what they are given, what they are known by, and how they may fail."""

import warnings

import pytest
import torch

from tests.support.labelled import H, W, dataset_of, images
from vaebench.core.errors import InputError
from vaebench.evaluation.samples.extractors import extractor_for, why_not
from vaebench.evaluation.samples.features import features_of


@pytest.fixture
def script(tmp_path):
    """Writes an extractor file and gives its name."""

    def write(body, name="features", file="mine.py"):
        (tmp_path / file).write_text(f"import torch\n{body}\n")
        return f"{tmp_path / file}:{name}"

    return write


def test_a_python_callable_is_given_images(script):
    """[N, 1, H, W] where it takes them; the fingerprint is that of the file."""
    dataset = dataset_of()
    name = script(
        "def features(x):\n    assert x.shape[1:] == (1, 3, 4)\n    return x.mean((1, 2))"
    )
    computed = extractor_for(dataset, name)
    assert computed.preprocessing == "intensities [N, 1, H, W]"
    assert computed.described == "mine.py:features"
    x = dataset.test.x
    torch.testing.assert_close(features_of(computed, x), x.reshape(-1, 3, 4).mean(1).double())
    again = extractor_for(dataset_of(), name)
    assert again.fingerprint == computed.fingerprint
    other = script("def features(x): return x.sum((1, 2))", file="other.py")
    assert extractor_for(dataset, other).fingerprint != computed.fingerprint


def test_a_python_callable_may_take_rows(script):
    name = script("features = torch.nn.Linear(12, 2)")
    assert extractor_for(dataset_of(), name).preprocessing == "intensities [N, P]"


def test_colours_come_first(script):
    dataset = dataset_of(shape=(2, 2, 3), labels=False)
    computed = extractor_for(dataset, script("def features(x): return x[:, 1].flatten(1)"))
    assert computed.preprocessing == "intensities [N, C, H, W]"
    green = dataset.test.x.reshape(-1, 4, 3)[..., 1]
    assert torch.equal(features_of(computed, dataset.test.x), green.double())


@pytest.mark.parametrize("shape", [(3, 2, 2), (1, 2, 4)])
def test_colours_that_are_stored_first_stay_first(script, shape):
    dataset = dataset_of(shape=shape, labels=False)
    extractor = extractor_for(dataset, script("def features(x): return x[:, 0, 1]"))
    assert extractor.preprocessing == "intensities [N, C, H, W] as stored"
    second_row = dataset.test.x.reshape(-1, *shape)[:, 0, 1]
    assert torch.equal(features_of(extractor, dataset.test.x), second_row.double())


def test_a_module_is_put_into_evaluation_and_hashed_with_its_weights(script):
    body = "torch.manual_seed({})\nfeatures = torch.nn.Sequential(torch.nn.Flatten(), "
    body += "torch.nn.BatchNorm1d(12), torch.nn.Dropout(0.5), torch.nn.Linear(12, 4))"
    one = extractor_for(dataset_of(), script(body.format(0), file="a.py"))
    x = images(6)
    assert torch.equal(one.features(x), one.features(x))
    torch.testing.assert_close(one.features(x)[:1], one.features(x[:1]))


def test_weights_from_elsewhere_are_in_the_fingerprint(script, tmp_path):
    """The same file, which reads other weights."""
    body = (
        f"features = torch.nn.Linear(12, 2)\nfeatures.load_state_dict(torch.load('{tmp_path}/w'))"
    )
    prints = []
    for value in (1.0, 2.0):
        torch.save({"weight": torch.full((2, 12), value), "bias": torch.zeros(2)}, tmp_path / "w")
        prints.append(extractor_for(dataset_of(), script(body)).fingerprint)
    assert prints[0] != prints[1]


def test_a_file_written_anew_is_read_anew(script):
    dataset = dataset_of()
    one = extractor_for(dataset, script("def features(x): return x.flatten(1)"))
    two = extractor_for(dataset, script("def features(x): return 3 * x.flatten(1)"))
    assert one.fingerprint != two.fingerprint
    torch.testing.assert_close(two.features(images(2)), 3 * one.features(images(2)))


class Doubled(torch.nn.Module):
    def forward(self, x):
        return 2 * x.flatten(1)


def test_torchscript(tmp_path):
    path = str(tmp_path / "doubled.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Doubled()), path)
    computed = extractor_for(dataset_of(), path)
    assert computed.described == "doubled.pt"
    torch.testing.assert_close(features_of(computed, images(5)), 2 * images(5).double())


def test_torch_export(tmp_path):
    path = str(tmp_path / "doubled.pt2")
    num = torch.export.Dim("num")
    exported = torch.export.export(
        Doubled(), (images(3).reshape(-1, 1, H, W),), dynamic_shapes=({0: num},)
    )
    torch.export.save(exported, path)
    computed = extractor_for(dataset_of(), path)
    torch.testing.assert_close(features_of(computed, images(5)), 2 * images(5).double())


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def features(x): return x.sum()", r"tensor of shape \(\)"),
        ("def features(x): return x.flatten(1)[:1]", r"tensor of shape \(1, 12\)"),
        ("def features(x): return x.flatten(1) / 0 * 0", "NaN or infinity"),
        ("def features(x): return x.tolist()", "a list"),
        ("def features(x): raise KeyError('why')", "KeyError: 'why'"),
        ("raise KeyError('why')", "must load; it raised KeyError: 'why'"),
        ("", "must load; it raised AttributeError.*features"),
    ],
)
def test_a_file_with_a_fault_is_named(script, body, said):
    name = script(body)
    with pytest.raises(InputError, match=said) as raised:
        extractor_for(dataset_of(), name)
    assert "mine.py" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("classifer", "did you mean 'classifier'"),
        ("weights.bin", "ends in .pt .TorchScript., .pt2 .torch.export. or .py:NAME"),
        ("gone.pt", "there is no file .*gone.pt"),
        ("gone.py:features", "there is no file .*gone.py"),
        ("gone.py", "FILE.py:NAME"),
    ],
)
def test_a_name_that_is_none_is_refused_before_the_run(name, said):
    with pytest.raises(InputError, match=said):
        extractor_for(dataset_of(), name)
    assert why_not(dataset_of(), name)


def test_a_file_that_is_no_torchscript(tmp_path):
    (tmp_path / "text.pt").write_text("no archive")
    with pytest.raises(InputError, match=r"text.pt' must load; it raised"):
        extractor_for(dataset_of(), str(tmp_path / "text.pt"))
