"""What users write that is not right: one line, status 2, nothing written."""

import os

import pytest
from click.testing import CliRunner

from vaebench.cli import main
from vaebench.config.study import expand, read

STUDY = """
name = "s"
[base]
likelihood = "bernoulli"
objective = "beta_elbo"
data = {{ name = "{data}", binarisation = "static" }}
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 5, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
[axes]
seed = [0, 1]
[sweep]
batch = 2
[sweep.space]
"train.learning_rate" = {{ low = 1e-4, high = 1e-2, log = true }}
"""
RANGE = "low = 1e-4, high = 1e-2, log = true"
SEARCHED = '"train.learning_rate" = {'
DEEP = "tables and lists must be at most 16 levels deep"
LARGE = "whole numbers must be at most 9223372036854775807"
NAME = "a study's name must be letters, digits, _ . - only, the first no . or -"


@pytest.fixture
def study(tmp_path, tiny_npz):
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(data=tiny_npz))
    return path


def refused(message, *arguments):
    """The one line on standard error of a command that must not start."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1500
    assert done.stderr.rstrip("\n").isprintable()
    assert done.stdout == ""
    assert message in done.stderr
    return done.stderr


def run_or_sweep(study, command="run"):
    return (command, study, "--out", study.parent / "out", *COMMANDS[command])


COMMANDS = {"run": ["--executor", "inline"], "sweep": ["--trials", 2, "--executor", "inline"]}

BAD_NAMES = [
    *("", ".", "..", ".s", "-s", "a/b", "a b", "s\\n", "\\n", "a\\u0000", "\\u001b[31m", "\\u202e"),
    *("s" * 5000, "字" * 70),
]
EDITS = [
    # A word of a few: which they are, and the nearest.
    ('"static"', '"binary"', "at 'data.binarisation'; known: dynamic, none, static, threshold"),
    ('"static"', '"Static"', "at 'data.binarisation'; did you mean 'static'?"),
    ('"static"', "3", "known: dynamic, none, static, threshold"),
    ("num_steps = 5", 'precision = "bf16"', "did you mean 'bfloat16'? known: bfloat16, float32"),
    ('"beta_elbo"', '"Beta_ELBO"', "did you mean 'beta_elbo'?"),
    ('"bernoulli"', '"BERNOULLI"', "did you mean 'bernoulli'?"),
    # A key on another level, or of another name: answered with the names of its own level.
    ("num_steps = 5", "num_step = 5", "- at 'train'; did you mean 'num_steps'? known: accumulate"),
    ("num_steps = 5", "seed = 5", "- at 'train'; did you mean 'seed'?"),
    ("num_steps = 5", "num_samples = 5", "did you mean 'num_samples' or 'evaluate.num_samples'?"),
    ("likelihood =", "learning_rate = 1\nlikelihood =", "did you mean 'train.learning_rate'?"),
    ("likelihood =", "beta = 1\nlikelihood =", "did you mean 'objective.beta'?"),
    ("[base]", "[train]\nnum_steps = 3\n[base]", "did you mean 'base.train'? known: axes, base"),
    ("num_samples = 3", 'gradings = [{ name = "likelihood", hypr = 1 }]', "hyperparameter 'hypr'"),
    (
        "num_samples = 3",
        'gradings = [{ name = "likelihood", hyper = {}, x = 1 }]',
        "'x' - at 'evaluate.gradings[0]'; known: hyper, name",
    ),
    (
        '"beta_elbo"',
        '{ name = "beta_elbo", beta = { name = "linear", stopp = 2 } }',
        "schedule 'linear' has no hyperparameter 'stopp'; did you mean 'stop'?",
    ),
    # Another type than is due.
    (
        "num_steps = 5",
        "num_steps = 5.0",
        "train.num_steps must be a whole number; got 5.0: write 5",
    ),
    ("num_steps = 5", "num_steps = true", "train.num_steps must be a whole number"),
    ("num_steps = 5", "num_steps = 2020-01-01", "train.num_steps must be a whole number"),
    ("num_steps = 5", "learning_rate = nan", "train.learning_rate must be a number above 0"),
    (
        "num_steps = 5",
        "learning_rate = 1e400",
        "train.learning_rate must be a finite number; got inf",
    ),
    ("widths = [8]", "widths = 8", "model.widths must be a list; got 8: write [8]"),
    ("data = {", 'data = "x" #', "data must be a table; got 'x': write {name = \"x\"}"),
    ("train = {", "train = 3 #", "got 3: write {num_steps = ..., batch_size = ...}"),
    ('"beta_elbo"', "3", "objective must be a table; got 3: write {name = ...}"),
    ('"beta_elbo"', '{ name = "beta_elbo", beta = "4" }', "a number or a schedule; got '4'"),
    (
        '"beta_elbo"',
        '{ name = "beta_elbo", beta = true }',
        "objective.beta must be a number or a table; got True",
    ),
    ('"bernoulli"', '{ name = "gaussian", sigma = "1" }', "it has no schedule; got '1'"),
    # Several values where one is due: an axis.
    ('"beta_elbo"', '{ name = "beta_elbo", beta = [1.0, 2.0] }', '"objective.beta" = [1.0, 2.0]'),
    ("num_steps = 5", "learning_rate = [0.1]", 'an axis: [axes] "train.learning_rate" = [0.1]'),
    ('"beta_elbo"', '["elbo", "iwae"]', "an axis: [axes] \"objective\" = ['elbo', 'iwae']"),
    # Fields that are not the user's, or that something else sets.
    ("likelihood =", 'plugin = "a.py"\nlikelihood =', "give the file with --plugin FILE.py"),
    ("binarisation =", 'fingerprint = "0", binarisation =', "it is computed from the data"),
    ("seed = [0, 1]", 'variant = [{ plugin = "a.py" }]', "give the file with --plugin FILE.py"),
    ("likelihood =", "seed = 5\nlikelihood =", "base.seed does nothing, axes.seed sets it"),
    # Axes.
    ("seed = [0, 1]", "seed = []", "the axis 'seed' has no values"),
    ("seed = [0, 1]", 'seed = "0"', "seed must be a whole number; got '0'"),
    ("seed = [0, 1]", "seeds = [0, 1]", "the axis 'seeds' is no field of a run"),
    ("seed = [0, 1]", "beta = [0, 1]", "got 0; did you mean 'objective.beta'?"),
    ("seed = [0, 1]", 'variant = ["elbo"]', 'as in variant = [{objective = "elbo"}]'),
    ("seed = [0, 1]", '"train.lerning_rate" = [1]', "- at 'train'; did you mean 'learning_rate'?"),
    ("seed = [0, 1]", '"objective.bet" = [1]', "no hyperparameter 'bet'; did you mean 'beta'?"),
    ("seed = [0, 1]", '"prior.x" = [1]', "prior needs a name, as in prior = {name = ...}"),
    ("seed = [0, 1]", '"train.num_steps.x" = [1]', "'num_steps' must be a table"),
    ("seed = [0, 1]", 'model.latent_dim = [2]\n"model.latent_dim" = [3]', "is there twice"),
    ("seed = [0, 1]", 'train = [{ num_steps = 2 }]\n"train.num_steps" = [3]', "is set by two"),
    ("[axes]", "axes = [1]\n[other]", "unknown field 'other'"),
    # Ranges and the rest of [sweep].
    ("batch = 2", "target = 3", "sweep.target must be text or a list; got 3"),
    ("batch = 2", "target = []", "a sweep needs targets that differ; got []: name each once"),
    ("batch = 2", 'target = ["nll", "nll"]', "a sweep needs targets that differ"),
    ("batch = 2", 'direction = "minimize"', "- at 'sweep'; known: batch, budget, constraints,"),
    ("batch = 2", "sampler = 3", "sweep.sampler must be a table"),
    ("batch = 2", "budget = { trials = 2, steps = 3 }", "a budget is one amount; got trials and"),
    (
        "batch = 2",
        "budget = { trials = 0 }",
        "sweep.budget.trials must be a whole number of at least 1",
    ),
    (
        "batch = 2",
        "constraints = { nll = {} }",
        "a constraint needs a limit: give min, max or both",
    ),
    (RANGE, RANGE + ", step = 1", "'step' - at 'sweep.space.\"train.learning_rate\"'; known: high"),
    (RANGE, "low = 1", "missing required field 'high' - at 'sweep.space.\"train.learning_rate\"'"),
    (f"{{ {RANGE} }}", "3", "got 3: write [3]"),
    # The file and its name.
    ('name = "s"', 'name = "s"\nname = "s"', "must be a TOML file: Cannot overwrite a value"),
    ('name = "s"', "", "missing required field 'name'; add it"),
    *(
        ('"s"', f'"{name}"', NAME)
        for name in ("..", ".", ".s", "-s", "s\\n", "", "a/b", "s" * 5000)
    ),
    *(
        ('"s"', f'"{name}"', NAME)
        for name in ("a\\u0000", "a b", "\\u001b[31m", "\\u202e", "字" * 70)
    ),
    ("num_steps = 5", "num_steps = " + "9" * 10_000, LARGE),
    ("num_steps = 5", "num_steps = 0x" + "f" * 10_000, LARGE),
    ("num_steps = 5", "num_steps = 9223372036854775808", LARGE),
    ("num_steps = 5", "num_steps = " + "[" * 1000 + "]" * 1000, DEEP),
    ("num_steps = 5", "x = " + "{ x = " * 1000 + "1" + " }" * 1000, DEEP),
    ("[base]", "[base." + ".".join(["x"] * 1000) + "]\n[base]", DEEP),
    ("[base]", "a" * 5000 + " = 1\n[base]", "unknown field 'aaaa"),
    ("[base]", '"a\\u0000b" = 1\n[base]', "unknown field 'a\\x00b'"),
    ('"beta_elbo"', '"' + "a" * 5000 + '"', "unknown objective 'aaaa"),
    ("binarisation =", 'name = "x", binarisation =', "must be a TOML file"),
]


@pytest.mark.parametrize(("old", "new", "message"), EDITS, ids=lambda text: str(text)[:40])
def test_a_bad_study_is_answered_with_what_to_write(study, old, new, message):
    text = study.read_text()
    assert old in text
    study.write_text(text.replace(old, new, 1))
    refused(message, *run_or_sweep(study))
    assert not (study.parent / "out").exists()


RANGES = [
    ('"train.lerning_rate"', RANGE, "did you mean 'learning_rate'?"),
    ("train.lerning_rate", RANGE, "did you mean 'learning_rate'?"),
    ("learning_rate", RANGE, "did you mean 'train.learning_rate'?"),
    ("beta", RANGE, "did you mean 'objective.beta'?"),
    (
        "objective.bet",
        RANGE,
        "is searched for no variant: none has it, or the axes set it; did you",
    ),
    ("train.precision", RANGE, "known: bfloat16, float32"),
    ("model.widths", RANGE, "must be a list"),
    ("seed", "low = 0, high = 9", "'seed' cannot be searched"),
    ("data.split_seed", "low = 0, high = 9", "'data.split_seed' cannot be searched"),
    ("evaluate.num_samples", "low = 1, high = 9", "trials are compared by the same evaluation"),
    ("train.batch_size", "low = 2.5, high = 8", "must be a whole number"),
    ("train.batch_size", "low = 2, high = 8.5", "a range of whole numbers needs whole ends"),
    (
        "train.batch_size",
        "low = 2, high = 4000",
        "at 4000 is not: train.batch_size must",
    ),
    ("train.learning_rate", "low = 1, high = inf", "needs low < high"),
    ("train.learning_rate", "low = nan, high = 1", "got nan"),
    ("objective.beta", "low = nan, high = 1", "needs low < high"),
    (
        "objective.beta",
        "low = -1, high = 1",
        "'objective.beta' at -1 is not: objective",
    ),
]


@pytest.mark.parametrize(("place", "limits", "message"), RANGES, ids=lambda text: str(text)[:40])
def test_a_bad_range_is_refused_before_the_first_trial(study, place, limits, message):
    text = study.read_text()
    study.write_text(text.replace(f"{SEARCHED} {RANGE}", f"{place} = {{ {limits}"))
    refused(message, *run_or_sweep(study, "sweep"))
    assert not (study.parent / "out").exists()


OVERRIDES = {
    "base.train.num_steps=ten": "train.num_steps must be a whole number; got 'ten'",
    "axes.seed": "--set needs KEY=VALUE, as in axes.seed=3; got 'axes.seed'",
    "=3": "--set needs KEY=VALUE",
    "base..x=1": "--set needs KEY=VALUE",
    "axes.=1": "--set needs KEY=VALUE",
    "train.num_steps=3": "as base.train.num_steps does; got 'train.num_steps'",
    "seed=3": "as base.seed does; got 'seed'",
    "lr=3": "a key that begins with name, base, axes, budget or sweep",
    "base=3": "base must be a table",
    "axes=3": "axes must be a table",
    "sweep=3": "sweep must be a table",
    "base.train.num_steps.x=3": "'num_steps' must be a table",
    "base.objective.bet=3": "no hyperparameter 'bet'; did you mean 'beta'?",
    "base.plugin=a.py": "give the file with --plugin FILE.py",
    "axes.seed=-1": "seed must be a whole number of at least 0; got -1",
    "axes.seed=9223372036854775808": LARGE,
    "sweep.space.train.learning_rate=3": "got 3: write [3]",
    "name=..": NAME,
    "base.train.num_steps=" + "9" * 10_000: "got '9999",
    "base.train.num_steps=" + "[" * 2000: "got '[[[[",
    "a" * 5000 + "=1": "got 'aaaa",
    "base." + ".".join("a" * 100) + "=1": DEEP,
    "base.a\0b=1": "unknown field 'a\\x00b'",
}


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:40])
def test_a_bad_override_is_answered_with_what_to_write(study, override):
    refused(OVERRIDES[override], *run_or_sweep(study), "--set", override)
    assert not (study.parent / "out").exists()


FILES = {
    "utf-16": (STUDY.encode("utf-16"), "must be in UTF-8, as TOML is"),
    "NUL": (STUDY.encode() + b"\0", "must be a TOML file"),
    "empty": (b"", "missing required field 'name'; add it"),
    "JSON": (b'{"name": "s"}', "must be a TOML file"),
    "YAML": (b"name: s\n", "must be a TOML file"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_no_study_is_named(tmp_path, fault):
    content, message = FILES[fault]
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    assert "study.toml" in refused(message, "run", path)


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for command in ("run", "gradients"):
        refused("it is a folder, pipe or device", command, tmp_path)
        refused("it is a folder, pipe or device", command, tmp_path / "pipe.toml")
        refused("it is a folder, pipe or device", command, "/dev/zero")
        refused("it is not there: correct the name", command, tmp_path / "absent.toml")


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_a_name_that_no_file_can_have_is_named(study, name):
    for command in ("run", "report", "compare", "gradients", "evaluate"):
        refused("no file can have this name", command, name)
    refused("no file can have this name", "evaluate", f"{name}.py")
    refused("no file can have this name", "report", study.parent, "--out", name)
    refused("no file can have this name", "kernels", "--out", name)
    refused("no file can have this name", *run_or_sweep(study), "--plugin", name)
    refused("no file can have this name", "list", "--plugin", name)
    refused(f"unknown data set '{name[0]}", *run_or_sweep(study), "--set", f"base.data.name={name}")
    refused(f"data set {name[0]}", *run_or_sweep(study), "--set", f"base.data.name={name}.npz")


OPTIONS = {
    ("--foo",): "No such option '--foo'",
    ("run",): "Missing argument 'STUDY'",
    ("run", "study.toml", "base.train.num_steps=3"): "--set KEY=VALUE sets a key",
    ("run", "study.toml", "--compile", "foo"): "unknown way to compile 'foo'; known: always",
    ("run", "study.toml", "--executor", "foo"): "unknown executor 'foo'; known: inline, local, ray",
    ("run", "study.toml", "--workers", "0"): "workers must be a whole number of at least 1; got 0",
    ("sweep", "study.toml"): "a sweep needs a budget for every variant: give --trials N",
    ("sweep", "study.toml", "--trials", "0"): "a budget must be above 0; got 0 trials",
    ("sweep", "study.toml", "--trials", "-1"): "a budget must be above 0; got -1 trials",
    ("sweep", "study.toml", "--trials", "2", "--steps", "3"): "one amount; got trials and steps",
    ("sweep", "study.toml", "--n-trials", "3"): "No such option '--n-trials'",
    ("report", "study.toml"): "must hold results (runs/*.json); it has none",
    ("compare", "."): "must hold results (runs/*.json); it has none",
}


@pytest.mark.parametrize("arguments", OPTIONS, ids=" ".join)
def test_a_bad_option_is_answered_in_one_line(study, monkeypatch, arguments):
    monkeypatch.chdir(study.parent)
    refused(OPTIONS[arguments], *arguments)


def test_a_byte_order_mark_is_read(study):
    study.write_bytes(b"\xef\xbb\xbf" + study.read_bytes())
    assert read(study).name == "s"


TAKEN = {
    '"objective.beta" = [1.0, 2.0]': {1.0, 2.0},
    "objective.beta = [1.0, 2.0]": {1.0, 2.0},
    "objective = [{ beta = 1.0 }, { beta = 2.0 }]": {1.0, 2.0},
    "variant = [{ objective.beta = 1.0 }, { objective.beta = 2.0 }]": {1.0, 2.0},
    'variant = [{ "objective.beta" = 1.0 }]': {1.0},
    'objective = ["beta_elbo"]\n"objective.beta" = [1.0, 2.0]': {1.0, 2.0},
    "objective.beta = 3.0": {3.0},
}


@pytest.mark.parametrize("axis", TAKEN)
def test_hyperparameters_are_axes_quoted_or_not(study, axis):
    study.write_text(study.read_text().replace("seed = [0, 1]", axis))
    assert {c.objective.hyper["beta"] for c in expand(read(study))} == TAKEN[axis]


@pytest.mark.parametrize(
    "axis",
    [
        "model = [{ latent_dim = 2 }, { latent_dim = 4 }]",
        "model.latent_dim = [2, 4]",
        '"model.latent_dim" = [2, 4]',
        "variant = [{ model.latent_dim = 2 }, { model = { latent_dim = 4 } }]",
    ],
)
def test_sections_are_axes_and_keep_their_other_fields(study, axis):
    study.write_text(study.read_text().replace("seed = [0, 1]", axis))
    configs = expand(read(study))
    assert [c.model.latent_dim for c in configs] == [2, 4]
    assert {c.model.widths for c in configs} == {(8,)}


def test_every_choice_has_axes_within_it(study):
    base = study.read_text().replace(
        '"bernoulli"',
        '{ name = "gaussian", sigma = 0.3 }\nrate_weight = { name = "linear", over = 0.3 }\n'
        'posterior = { name = "categorical", temperature = 0.3 }\nprior = "uniform_categorical"',
    )
    axes = (
        '"likelihood.sigma" = [0.1]\n"rate_weight.over" = [0.1]\n"posterior.temperature" = [0.1]\n'
        '"objective.beta" = [{ name = "linear", stop = 2.0 }]'
    )
    study.write_text(base.replace("seed = [0, 1]", axes))
    (config,) = expand(read(study))
    assert config.likelihood.hyper["sigma"] == 0.1
    assert config.rate_weight.hyper["over"] == 0.1
    assert config.posterior.hyper["temperature"] == 0.1
    assert config.objective.hyper["beta"].hyper["stop"] == 2.0


def test_hyperparameters_are_set_from_outside(study):
    configs = expand(read(study, ["base.objective.beta=2.5", "axes.train.num_steps=[2, 3]"]))
    assert {c.objective.hyper["beta"] for c in configs} == {2.5}
    assert {c.train.num_steps for c in configs} == {2, 3}


def test_an_override_within_what_an_axis_replaces_is_refused(study):
    study.write_text(
        study.read_text().replace("seed = [0, 1]", 'objective = ["beta_elbo", "elbo"]')
    )
    refused(
        "--set base.objective.beta does nothing, axes.objective sets it",
        *(*run_or_sweep(study), "--set", "base.objective.beta=2"),
    )


def test_a_long_line_keeps_both_ends():
    from vaebench.cli.group import one_line

    assert one_line("a  b\n c") == "a b c"
    assert one_line("\x1b[31m\x00字") == "\\x1b[31m\\x00字"
    line = one_line(f"begin {'x' * 9000} end")
    assert line.startswith("begin")
    assert line.endswith("end")
    assert len(line) < 1300
