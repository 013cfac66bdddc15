"""Studies: the product of axes over a base, with values set from outside."""

import pytest

from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.config.study import expand, read
from vaebench.core.errors import InputError

STUDY = """
name = "s"
[base]
likelihood = "bernoulli"
data = { binarisation = "dynamic" }
[base.train]
num_steps = 5
[axes]
seed = [0, 1]
"train.learning_rate" = [1e-3, 1e-2]
variant = [
    { objective = "elbo" },
    { objective = "iwae", num_samples = 3, train = { batch_size = 32 } },
]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(STUDY)
    return path


def test_expands_to_the_product(file):
    configs = expand(read(file))
    assert len({config.id for config in configs}) == len(configs) == 8
    iwae = [c for c in configs if c.objective.name == "iwae"]
    assert {c.num_samples for c in iwae} == {3}
    assert {c.train.batch_size for c in iwae} == {32}
    assert {c.train.num_steps for c in configs} == {5}
    assert {c.train.learning_rate for c in configs} == {1e-3, 1e-2}
    assert {c.data.fingerprint for c in configs} == {"24ee3729a4d75509"}


def test_values_are_set_from_outside(file):
    overrides = ["axes.seed=7", "base.train.num_steps=9", "axes.train.learning_rate=[0.5]"]
    configs = expand(read(file, overrides))
    assert {c.seed for c in configs} == {7}
    assert {c.train.num_steps for c in configs} == {9}
    assert {c.train.learning_rate for c in configs} == {0.5}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[base]", "[bass]", "unknown field 'bass'; did you mean 'base'"),
        ("num_steps = 5", "num_step = 5", "'num_step' - at 'train'; did you mean 'num_steps'"),
        (
            "num_steps = 5",
            'num_steps = "5"',
            "train.num_steps must be a whole number; got '5': write 5",
        ),
        ('name = "s"', "name = 3", "name must be text"),
        ("seed = [0, 1]", "seed = [0, 0]", "there twice"),
        ("seed = [0, 1]", "seed = []", "must have a run"),
        ("seed = [0, 1]", "sed = [0, 1]", "did you mean 'seed'"),
        ("seed = [0, 1]", "objective = ['elbo']", "'objective' is set by two"),
        ('{ objective = "elbo" }', '{ objective = "elbow" }', "did you mean 'elbo'"),
        ("[base]", "[base", "must be a TOML file"),
        ('name = "s"', 'name = "a/b"', "it names files; got 'a/b'"),
        (
            "seed = [0, 1]",
            "seed = [9223372036854775807, -1]",
            "seed must be a whole number of at least 0; got -1",
        ),
        ("data = { binarisation", "data = 'digits' #", "data must be a table; got 'digits'"),
        ('"dynamic"', '"none"', "'bernoulli' needs x in {0, 1}"),
        ("batch_size = 32", "batch_size = 5000", "at most the 1197 training images"),
    ],
)
def test_bad_studies_are_named(file, old, new, message):
    file.write_text(STUDY.replace(old, new))
    with pytest.raises(InputError, match=message):
        expand(read(file))


def test_an_axis_of_choices_sets_them(file):
    override = 'axes.objective=["elbo", {name = "beta_elbo", beta = 2.0}]'
    file.write_text(
        STUDY.replace("variant = [", "other = [").replace('{ objective = "elbo" },', "")
    )
    with pytest.raises(InputError, match="'objective' is set by two"):
        expand(read(file, [override]))
    file.write_text(STUDY.partition("variant = [")[0])
    variants = {c.variant for c in expand(read(file, [override]))}
    assert variants == {"elbo", "beta_elbo(beta=2)"}


def test_grey_pixels_outside_the_training_part_are_found(tmp_path):
    import numpy as np

    x = np.eye(4, dtype=np.float32)[None].repeat(20, 0)
    grey = 0.5 * x
    for name, parts in {"t": (x, grey), "v": (x, x)}.items():
        extra = {"x_valid": grey} if name == "v" else {}
        np.savez(tmp_path / f"{name}.npz", x_train=parts[0], x_test=parts[1], **extra)
        raw = {"name": str(tmp_path / f"{name}.npz")}
        config = tiny(data=raw, likelihood="bernoulli")
        with pytest.raises(
            InputError, match=r"'bernoulli' needs x in {0, 1}; '\w' \((test|valid)\)"
        ):
            resolve([config])


def test_a_file_written_anew_is_read_anew(tmp_path):
    import numpy as np

    path = tmp_path / "mine.npz"
    computed = set()
    for i in range(2):
        images = np.eye(4, dtype=np.float32)[None].repeat(20, 0)
        images[0, 0, 1] = i
        np.savez(path, x_train=images, x_test=images)
        (config,) = resolve([tiny(data={"name": str(path)})])
        computed.add(config.data.fingerprint)
    assert len(computed) == 2


def test_bad_overrides_are_named(file):
    with pytest.raises(InputError, match="--set needs KEY=VALUE"):
        read(file, ["axes.seed"])
    with pytest.raises(InputError, match=r"--set base.seed does nothing, axes.seed sets it"):
        read(file, ["base.seed=9"])
    with pytest.raises(InputError, match=r"'name' must be a table, for 'name.x' to be set"):
        read(file, ["name.x=3"])


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent.toml must be a TOML file"):
        read(tmp_path / "absent.toml")


def test_an_axis_over_a_field_of_a_section_can_be_set_from_outside(file):
    overrides = ['axes.train.precision=["float32", "bfloat16"]']
    computed = expand(read(file, overrides))
    assert len(computed) == 2 * len(expand(read(file)))
    assert {c.train.precision for c in computed} == {"float32", "bfloat16"}
