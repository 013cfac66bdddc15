"""Sessions: `nox -s bench` compares the variants, `nox -s tests` tests; `nox -l` lists the rest."""

from __future__ import annotations

import resource
import shutil
import time
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
STUDIES = Path("benchmarks/studies")
RESULTS = Path("results/runs")
DATA = RESULTS / "data"
"""Where data lie that are written for a study."""
SMOKE = ["--set", "base.train.num_steps=300", "--set", "axes.seed=[0, 1]"]
BENCHMARKS = [
    "pytest",
    "benchmarks",
    "--benchmark-only",
    "--benchmark-max-time=0.5",
    "-q",
    "--benchmark-columns=median,iqr,ops",
]


def install(session: nox.Session, extras: str = "", *groups: str) -> None:
    """The package with extras and dependency groups, in the tested versions."""
    packages = nox.project.dependency_groups(PYPROJECT, *groups) if groups else ()
    session.install("-c", "constraints.txt", "-e", f".[{extras}]" if extras else ".", *packages)


EXECUTED = [
    *("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace"),
    "--ExecutePreprocessor.record_timing=False",
]
NO_ADVERTISEMENT = {"NO_MKDOCS_2_WARNING": "1"}
"""Material otherwise prints, with every build, what its makers do next."""
COMMITTED = ("--format", "csv,md,png")
"""What results/reference/ holds of a report: not the page, which is above a megabyte."""


def reference_study(session: nox.Session, name: str) -> None:
    """Run a study, without timings, and keep its report and its differences in words."""
    install(session, "report")
    out = str(RESULTS / name)
    study = str(STUDIES / f"{name}.toml")
    session.run("vaebench", "run", study, "--out", out, "--no-timings", success_codes=[0, 1])
    kept = Path("results/reference", name)
    session.run("vaebench", "report", out, "--out", str(kept), *COMMITTED)
    with (kept / "compare.txt").open("w") as page:
        session.run("vaebench", "compare", out, stdout=page)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the objectives on the digits: train, time, report. `-- --smoke`: in a minute."""
    install(session, "kernels,report", "bench")
    smoke = "--smoke" in session.posargs
    out = RESULTS / ("smoke" if smoke else "digits")
    study = str(STUDIES / "digits.toml")
    # Status 1: some runs were lost. They are lines of the report, so it is made all the same.
    arguments = [study, "--out", str(out), *(SMOKE if smoke else [])]
    session.run("vaebench", "run", *arguments, success_codes=[0, 1])
    session.run(
        *BENCHMARKS,
        f"--benchmark-json={out}/benchmarks.json",
        *(["-k", "not 65536"] if smoke else []),
    )
    session.run("vaebench", "report", str(out))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, in two processes. `-- -m "not slow"`: without those that take long."""
    install(session, "kernels,sweep,report,ray,slurm,export,tensorboard", "test", "docs")
    session.run("pytest", "-n", "2", *session.posargs)


@nox.session
def ray(session: nox.Session) -> None:
    """A study on a Ray cluster on this machine, of which a node dies, and then the head."""
    install(session, "ray", "test")
    session.run("pytest", "tests/running/executors/test_ray_cluster.py", "-q", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    install(session, "sweep,report", "lint", "bench")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of a results folder: `nox -s report -- results/runs/digits [--out DIR]`."""
    install(session, "report")
    session.run("vaebench", "report", *(session.posargs or [str(RESULTS / "digits")]))


@nox.session
def sweep(session: nox.Session) -> None:
    """Tune beta and the learning rate on the digits: `nox -s sweep [-- STUDY --trials N]`."""
    install(session, "sweep")
    default = [str(STUDIES / "sweep_beta.toml"), "--trials", "20"]
    session.run("vaebench", "sweep", *(session.posargs or default))


@nox.session
def tuned(session: nox.Session) -> None:
    """Tune every variant of the default study, 40 trials each: results/reference/tuned/.

    Steps are eager: trials of so many shapes are too short for graphs of their own.
    """
    install(session, "sweep,report")
    out, kept = RESULTS / "tuned", Path("results/reference/tuned")
    options = ["--out", str(out), "--no-timings", "--compile", "never", *session.posargs]
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    session.run("vaebench", "sweep", str(STUDIES / "tuned.toml"), *options)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    minutes = f"{wall / 60:.0f} min of wall time, {(after - before) / 60:.0f} min of processors\n"
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("trials.csv", "tuned.csv", "best.toml"):
        shutil.copy(out / name, kept)
    with (kept / "compare.txt").open("w") as page:
        session.run("vaebench", "compare", str(out), stdout=page)
    (kept / "wall_time.txt").write_text(minutes)


@nox.session
def sweeps(session: nox.Session) -> None:
    """Measure what the coordinator of a sweep takes, over 1,000 trials of 300 steps."""
    install(session, "sweep")
    out = "results/reference/sweeps"
    session.run("python", "-m", "benchmarks.sweeps.coordinator", "--out", out, *session.posargs)


@nox.session
def gradients(session: nox.Session) -> None:
    """Measure the estimators' gradients on the digits: figures and table in results/reference/."""
    install(session, "report")
    out, kept = RESULTS / "gradients", Path("results/reference/gradients")
    arguments = [str(STUDIES / "gradients.toml"), "--out", str(out), *session.posargs]
    session.run("vaebench", "gradients", *arguments)
    kept.mkdir(parents=True, exist_ok=True)
    for path in (out / "table.csv", *out.glob("*.png")):
        shutil.copy(path, kept)


@nox.session
def peers(session: nox.Session) -> None:
    """Race against other systems, in half an hour on two cores. `-- --smoke`: a little of each.

    Parts of it: `-- --only steps`, `shapes` or `studies`. Whole parts are also kept in
    results/reference/peers/.
    """
    install(session, "report", "peers")
    # Without what it requires: a backport of dataclasses, and what the group has already.
    session.install("-c", "constraints.txt", "--no-deps", "pythae")
    out, kept = RESULTS / "peers", Path("results/reference/peers")
    session.run("python", "-m", "benchmarks.peers", "--out", str(out), *session.posargs)
    if set(session.posargs) <= {"--only", "steps", "shapes", "studies", "--resume"}:
        kept.mkdir(parents=True, exist_ok=True)
        for path in out.glob("*.*"):
            shutil.copy(path, kept)


@nox.session
def reproduce(session: nox.Session) -> None:
    """Try published claims, or some: `-- NAME NAME=full`. Verdicts, and docs/reproduction.md."""
    install(session)
    session.run("python", "-m", "benchmarks.reproduction", *session.posargs)


@nox.session
def expectations(session: nox.Session) -> None:
    """Record what claims gave at the scale `cpu`, those by name anew. Trains nothing."""
    install(session)
    session.run("python", "-m", "benchmarks.reproduction.expectations", *session.posargs)


@nox.session
def compiling(session: nox.Session) -> None:
    """Measure what compiling a step saves and costs, in five minutes on a quiet machine."""
    install(session, "report")
    session.run("python", "-m", "benchmarks.compiling", *session.posargs)
    session.run("python", "-m", "benchmarks.compiling.threads")


@nox.session
def evaluation(session: nox.Session) -> None:
    """Measure the evaluation's speed against its matrix products, on a quiet machine."""
    install(session)
    out = "results/reference/evaluation"
    session.run("python", "-m", "benchmarks.evaluation.rate", "--out", out, *session.posargs)


@nox.session
def cost(session: nox.Session) -> None:
    """Time bounds of 5,000 samples and annealed importance sampling in full, on two cores."""
    install(session)
    session.run("python", "-m", "benchmarks.evaluation.cost", *session.posargs)


@nox.session
def networks(session: nox.Session) -> None:
    """Time a user's own networks beside plain PyTorch, in five minutes on one quiet core."""
    install(session, "report")
    out = "results/reference/networks"
    session.run("python", "-m", "benchmarks.networks.cost", "--out", out, *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """On a CUDA machine: the kernels' correctness and timings, under results/timings/."""
    install(session, "kernels", "test")
    session.run("pytest", "-m", "gpu", "-q", success_codes=[0, 5])
    session.run("vaebench", "kernels", "--out", "results/timings", *session.posargs)


@nox.session
def reference(session: nox.Session) -> None:
    """Make results/reference/ and the README's table again from the bench's results."""
    install(session, "report")
    out = "results/reference/digits"
    session.run("vaebench", "report", str(RESULTS / "digits"), "--out", out, *COMMITTED)
    session.run("python", "-m", "benchmarks.update_readme")


@nox.session
def objectives(session: nox.Session) -> None:
    """Compare every objective on the digits, over twenty seeds: 15 minutes of a quiet core."""
    reference_study(session, "objectives")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, site/index.html, and write again what of docs/ is made: tables, numbers."""
    install(session, "", "docs")
    with Path("docs/registry.md").open("w") as page:
        session.run("vaebench", "list", "--markdown", stdout=page)
    session.run("python", "docs/draw_rooms.py")
    session.run("python", "-m", "docs.site.reference")
    session.run("python", "-m", "mkdocs", "build", "--strict", "--quiet", env=NO_ADVERTISEMENT)


@nox.session
def notebook(session: nox.Session) -> None:
    """Run docs/first-results.ipynb, in a folder of its own, and keep what its cells show."""
    install(session, "report", "notebook")
    kept, place = Path("docs/first-results.ipynb"), Path(session.create_tmp())
    shutil.copy(kept, place)
    with session.chdir(place):
        session.run(*EXECUTED, kept.name)
    shutil.copy(place / kept.name, kept)


@nox.session
def steps(session: nox.Session) -> None:
    """Profile a training step, before and now, in five to fifteen minutes."""
    install(session, "report")
    out = "results/reference/steps"
    session.run("python", "-m", "benchmarks.steps.profiles", "--out", out, *session.posargs)


@nox.session
def precision(session: nox.Session) -> None:
    """Train in bfloat16 against float32, in five to eleven minutes."""
    install(session, "report")
    out = "results/reference/precision"
    session.run("python", "-m", "benchmarks.precision.compare", "--out", out, *session.posargs)


@nox.session
def harness(session: nox.Session) -> None:
    """Measure where a study's time goes, how it shrinks with workers and grows with runs."""
    install(session, "report")
    session.run("python", "-m", "benchmarks.harness.cost", *session.posargs)


@nox.session
def folder(session: nox.Session) -> None:
    """Measure what reads 100,000 synthetic records, and the page of 2,000: 2.5 GiB of disk."""
    install(session, "report")
    session.run("python", "-m", "benchmarks.folder.page")
    session.run("python", "-m", "benchmarks.folder.limits", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill commands at random, over 200 times, and fail them otherwise: half an hour, two cores.

    `-- --only sweep surroundings`: some of it. It goes on where it was stopped.
    """
    install(session, "sweep,report")
    session.run("python", "-m", "benchmarks.faults", *session.posargs)


@nox.session
def large(session: nox.Session) -> None:
    """Train on 10 GB of images in a sparse file, in two to six minutes: memory beside it."""
    install(session)
    session.run("python", "-m", "benchmarks.data.large", *session.posargs)


@nox.session
def own(session: nox.Session) -> None:
    """Data of every kind under a built-in network and a user's own, 48 runs in a few minutes."""
    install(session, "report")
    out, study = str(RESULTS / "own"), STUDIES / "own.toml"
    plugin = str(STUDIES / "own.py")
    session.run("vaebench", "run", str(study), "--plugin", plugin, "--out", out, "--no-timings")
    session.run("vaebench", "report", out)


@nox.session
def shapes(session: nox.Session) -> None:
    """Beta against rate, distortion and disentanglement, in about two minutes on two cores."""
    reference_study(session, "shapes")


@nox.session
def mnist(session: nox.Session) -> None:
    """Compare objectives on MNIST, and after longer training: seven hours of a core."""
    install(session, "report")
    for name, file in [("mnist", "mnist-500"), ("binarized_mnist", "binarized-mnist-500")]:
        session.run("python", "-m", "benchmarks.data.mnist_subset", name, str(DATA / f"{file}.npz"))
    for study in ("mnist", "mnist_longer", "mnist_steps"):
        reference_study(session, study)
    session.run("python", "-m", "benchmarks.annealing", str(RESULTS / "mnist_longer"))


@nox.session
def kinds(session: nox.Session) -> None:
    """Counts, series and shapes in colour, each under the likelihoods that fit it."""
    install(session, "report")
    session.run("python", "-m", "benchmarks.data.colour_shapes", str(DATA / "colour-shapes.npz"))
    reference_study(session, "kinds")


@nox.session
def statistics(session: nox.Session) -> None:
    """Simulate studies: how often intervals cover and tests err, in seven minutes."""
    install(session, "report")
    out = "results/reference/statistics"
    session.run("python", "-m", "benchmarks.statistics.coverage", "--out", out, *session.posargs)


@nox.session
def clinic(session: nox.Session) -> None:
    """Spoil twelve runs and let a hundred be, and see what the clinic says: ten minutes."""
    install(session, "report")
    session.run("python", "-m", "benchmarks.clinic", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """One, two and three layers of latents, and what a step of them costs: half an hour."""
    install(session, "report")
    out, study = str(RESULTS / "layers"), str(STUDIES / "layers.toml")
    session.run("vaebench", "run", study, "--out", out, "--no-timings", success_codes=[0, 1])
    session.run("python", "-m", "benchmarks.layers", out)
    session.run("python", "-m", "benchmarks.layers.cost", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Train every example, test that it gets the native figures or weights, and grade it."""
    install(session, "", "test", "peers", "examples")
    session.install("-c", "constraints.txt", "--no-deps", "pythae")
    tests = ("test_examples.py", "test_examples_in_loops.py")
    session.run("pytest", "-q", *(f"tests/project/{name}" for name in tests))
    models = {*Path("examples").glob("*.py")} - {*Path("examples").glob("listen_*.py")}
    for path in sorted(models):
        session.run("vaebench", "evaluate", str(path), "--out", str(RESULTS / "examples"))
    with Path("results/reference/examples/pythae_miwae.csv").open("w") as table:
        session.run("python", "examples/pythae_miwae.py", stdout=table)
