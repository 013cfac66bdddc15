"""The draws of a step: recorded once, and made anew for any step."""

from dataclasses import replace

import pytest
import torch

from tests.support.runs import pairs, run_config, sampled, steps_of
from vaebench.config.build import streams
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops import c, densities, noise
from vaebench.ops.noise import Noise, gumbels, normals, uniforms
from vaebench.ops.recorded_draws import Recording, Replay

HERE = Noise((3, 4), step=5, first_sample=6, first_row=7)
THERE = Noise((8, 9, 10), step=50, first_sample=1, first_row=2)
DRAWS = {normals: (2, 3, 5), uniforms: (3, 5), gumbels: (2, 3, 5)}


def drawn_by(where, source):
    return replace(where, source=source)


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_recorded_numbers_are_those_without_a_recording(draw):
    recording = Recording(HERE.step, HERE.keys)
    assert torch.equal(draw(drawn_by(HERE, recording), *DRAWS[draw]), draw(HERE, *DRAWS[draw]))
    assert len(recording.draws) == 1


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_what_was_recorded_is_made_for_the_runs_and_the_step_of_another_noise(draw):
    """Counters other than the step are those of the step that was recorded."""
    recording = Recording(HERE.step, HERE.keys)
    draw(drawn_by(HERE, recording), *DRAWS[draw])
    (recorded,) = recording.draws
    place = Noise(THERE.keys, THERE.step, HERE.first_sample, HERE.first_row)
    assert torch.equal(recorded.at(THERE), draw(place, *DRAWS[draw]))


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_many_steps_at_once_are_those_steps(draw, native, monkeypatch):
    if not native:
        monkeypatch.setattr(c, "library", lambda: None)
    recording = Recording(HERE.step, HERE.keys)
    draw(drawn_by(HERE, recording), *DRAWS[draw])
    (recorded,) = recording.draws
    one_by_one = [recorded.at(THERE.at(step=THERE.step + t)) for t in range(3)]
    assert torch.equal(recorded.over(THERE, 3), torch.stack(one_by_one))


def test_draws_of_the_step_after_stay_one_step_on():
    recording = Recording(HERE.step, HERE.keys)
    recorded = drawn_by(HERE, recording)
    uniforms(recorded.at(step=recorded.step + 1, sample=9, row=8), 2, 3)
    (draw,) = recording.draws
    assert draw.steps_on == 1
    expected = uniforms(Noise(THERE.keys, THERE.step + 1, 9, 8), 2, 3)
    assert torch.equal(draw.at(THERE), expected)


def test_numbers_are_handed_out_in_the_order_in_which_they_were_recorded():
    recording = Recording(HERE.step, HERE.keys)
    first = [draw(drawn_by(HERE, recording), *sizes) for draw, sizes in DRAWS.items()]
    assert [draw.sizes for draw in recording.draws] == list(DRAWS.values())
    replay = Replay(draw.at(HERE) for draw in recording.draws)
    again = [draw(drawn_by(HERE, replay), *sizes) for draw, sizes in DRAWS.items()]
    assert all(map(torch.equal, first, again))
    with pytest.raises(StopIteration):
        normals(drawn_by(HERE, replay), 1, 1, 1)


def test_a_replay_gives_its_own_numbers_whatever_the_place():
    inputs = torch.zeros(2, 2, 3, 5)
    assert normals(drawn_by(HERE, Replay(iter([inputs]))), 2, 3, 5) is inputs


# ------------------------------------------------------------------ a whole step


def loss_of(config, model, x, where):
    """The loss and the code of one step by the reference, with the prior draws it may need."""
    terms = compute_terms(
        model, x, where, num_samples=config.num_samples, training=True, operations=densities
    )
    entry = OBJECTIVES[config.objective.name]
    counts = {name: int(config.objective.hyper[name]) for name in entry.counts}
    loss = entry(terms, **config.objective.hyper | counts | entry.initial_state)
    return torch.cat([loss.flatten(), terms.z.flatten()])


CASES = [(objective, "diagonal_gaussian", "standard_normal") for objective in OBJECTIVES] + [
    (objective, *pair) for pair in pairs() for objective in (sampled(pair[0]), "wae_mmd")
]


@pytest.mark.parametrize(("objective", "posterior", "prior"), CASES)
def test_a_step_by_replay_is_the_step(objective, posterior, prior):
    """Recorded at one step of one stack, played at another step of another stack."""
    codes = {"posterior": posterior, "prior": prior}
    stacks = [[run_config(objective, seed=s, **codes) for s in seeds] for seeds in ((0, 1), (5, 9))]
    x = torch.linspace(0, 1, 2 * 16 * 64).view(2, 16, 64).round()
    (first, _), (model, _) = (steps_of(configs) for configs in stacks)
    recorded = streams(stacks[0], "train").at(step=3)
    recording = Recording(3, recorded.keys)
    plain = loss_of(stacks[0][0], first, x, recorded)
    assert torch.equal(loss_of(stacks[0][0], first, x, drawn_by(recorded, recording)), plain)

    played = streams(stacks[1], "train").at(step=8)
    replay = Replay(draw.at(played) for draw in recording.draws)
    replayed = loss_of(stacks[1][0], model, x, drawn_by(played, replay))
    assert torch.equal(replayed, loss_of(stacks[1][0], model, x, played))
    assert next(replay.numbers, None) is None, "all that was recorded is used"


def test_prior_draws_of_a_mixture_of_posteriors_are_read_one_step_on():
    config = run_config("wae_mmd", prior="vamp")
    model, _ = steps_of([config])
    noise = streams([config], "train").at(step=3)
    where = drawn_by(noise, recording := Recording(3, noise.keys))
    loss_of(config, model, torch.zeros(1, 16, 64), where)
    assert {draw.steps_on for draw in recording.draws} == {0, 1}


# ------------------------------------------------------------------ nothing stays behind


def test_what_makes_numbers_never_sees_a_source():
    seen = []

    def make(where, num_steps, *sizes):
        seen.append(where)
        return torch.zeros(num_steps, *sizes)

    recording = Recording(HERE.step, HERE.keys)
    noise._of_one_step(make, drawn_by(HERE, recording), 2)
    recording.draws[0].at(HERE)
    assert seen == [HERE, HERE]
    assert hash(seen[0]) == hash(HERE)
    assert len(recording.draws) == 1, "to make numbers is not to ask for them"


def test_kept_normals_are_found_with_and_without_a_recording(monkeypatch):
    """Blocks are kept by the noise that they are of."""
    monkeypatch.setattr(c, "library", lambda: None)
    noise._kept_normals.cache_clear()
    first = normals(drawn_by(HERE, Recording(HERE.step, HERE.keys)), 1, 2, 3)
    assert torch.equal(normals(HERE, 1, 2, 3), first)
    computed = noise._kept_normals.cache_info()
    assert (computed.hits, computed.misses) == (1, 1)
    noise._kept_normals.cache_clear()


def test_other_places_of_a_noise_have_its_source():
    recording = Recording(HERE.step, HERE.keys)
    assert drawn_by(HERE, recording).at(step=9, sample=1, row=2).source is recording
    assert HERE.at(step=9).source is None


def test_a_stream_of_another_name_is_refused():
    """A recording is of the step's own streams."""
    with pytest.raises(NotImplementedError, match="own streams"):
        normals(drawn_by(HERE, Recording(HERE.step, HERE.keys)).named("another"), 1, 2, 3)
