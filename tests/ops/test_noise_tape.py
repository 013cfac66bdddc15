"""A tape: what a step asks of its noise, noted once and made anew for any step."""

from dataclasses import replace

import pytest
import torch

from tests.support.runs import pairs, run_config, sampled, steps_of
from vaebench.config.build import streams
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops import c as native
from vaebench.ops import densities, noise
from vaebench.ops.noise import Noise, gumbels, normals, uniforms
from vaebench.ops.noise_tape import Player, Recorder

HERE = Noise((3, 4), step=5, first_sample=6, first_row=7)
THERE = Noise((8, 9, 10), step=50, first_sample=1, first_row=2)
DRAWS = {normals: (2, 3, 5), uniforms: (3, 5), gumbels: (2, 3, 5)}


def on_tape(where, tape):
    return replace(where, tape=tape)


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_recorded_numbers_are_those_without_a_tape(draw):
    recorder = Recorder(HERE.step, HERE.keys)
    assert torch.equal(draw(on_tape(HERE, recorder), *DRAWS[draw]), draw(HERE, *DRAWS[draw]))
    assert len(recorder.asked) == 1


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_what_was_recorded_is_made_for_the_runs_and_the_step_of_another_noise(draw):
    """Counters other than the step are those of the step that was recorded."""
    recorder = Recorder(HERE.step, HERE.keys)
    draw(on_tape(HERE, recorder), *DRAWS[draw])
    (asked,) = recorder.asked
    place = Noise(THERE.keys, THERE.step, HERE.first_sample, HERE.first_row)
    assert torch.equal(asked.at(THERE), draw(place, *DRAWS[draw]))


def test_draws_of_the_step_after_stay_one_step_on():
    recorder = Recorder(HERE.step, HERE.keys)
    taped = on_tape(HERE, recorder)
    uniforms(taped.at(step=taped.step + 1, sample=9, row=8), 2, 3)
    (asked,) = recorder.asked
    assert asked.steps_on == 1
    expected = uniforms(Noise(THERE.keys, THERE.step + 1, 9, 8), 2, 3)
    assert torch.equal(asked.at(THERE), expected)


def test_numbers_are_handed_out_in_the_order_in_which_they_were_asked_for():
    recorder = Recorder(HERE.step, HERE.keys)
    first = [draw(on_tape(HERE, recorder), *sizes) for draw, sizes in DRAWS.items()]
    assert [asked.make for asked in recorder.asked] == [d.__wrapped__ for d in DRAWS]
    player = Player(asked.at(HERE) for asked in recorder.asked)
    again = [draw(on_tape(HERE, player), *sizes) for draw, sizes in DRAWS.items()]
    assert all(map(torch.equal, first, again))
    with pytest.raises(StopIteration):
        normals(on_tape(HERE, player), 1, 1, 1)


def test_a_player_gives_its_own_numbers_whatever_the_place():
    given = torch.zeros(2, 2, 3, 5)
    assert normals(on_tape(HERE, Player(iter([given]))), 2, 3, 5) is given


# ------------------------------------------------------------------ a whole step


def loss_of(config, model, x, where):
    """The loss and the code of one step by the reference, with the prior draws it may need."""
    terms = compute_terms(
        model, x, where, num_samples=config.num_samples, training=True, ops=densities
    )
    entry = OBJECTIVES[config.objective.name]
    counts = {name: int(config.objective.hyper[name]) for name in entry.counts}
    loss = entry(terms, **config.objective.hyper | counts | entry.initial_state)
    return torch.cat([loss.flatten(), terms.z.flatten()])


CASES = [(objective, "diagonal_gaussian", "standard_normal") for objective in OBJECTIVES] + [
    (objective, *pair) for pair in pairs() for objective in (sampled(pair[0]), "wae_mmd")
]


@pytest.mark.parametrize(("objective", "posterior", "prior"), CASES)
def test_a_step_by_tape_is_the_step(objective, posterior, prior):
    """Recorded at one step of one stack, played at another step of another stack."""
    codes = {"posterior": posterior, "prior": prior}
    stacks = [[run_config(objective, seed=s, **codes) for s in seeds] for seeds in ((0, 1), (5, 9))]
    x = torch.linspace(0, 1, 2 * 16 * 64).view(2, 16, 64).round()
    (first, _), (model, _) = (steps_of(configs) for configs in stacks)
    recorded = streams(stacks[0], "train").at(step=3)
    recorder = Recorder(3, recorded.keys)
    plain = loss_of(stacks[0][0], first, x, recorded)
    assert torch.equal(loss_of(stacks[0][0], first, x, on_tape(recorded, recorder)), plain)

    played = streams(stacks[1], "train").at(step=8)
    player = Player(asked.at(played) for asked in recorder.asked)
    by_tape = loss_of(stacks[1][0], model, x, on_tape(played, player))
    assert torch.equal(by_tape, loss_of(stacks[1][0], model, x, played))
    assert next(player.numbers, None) is None, "all that was recorded is asked for"


def test_prior_draws_of_a_mixture_of_posteriors_are_read_one_step_on():
    config = run_config("wae_mmd", prior="vamp")
    model, _ = steps_of([config])
    noise = streams([config], "train").at(step=3)
    where = on_tape(noise, recorder := Recorder(3, noise.keys))
    loss_of(config, model, torch.zeros(1, 16, 64), where)
    assert {asked.steps_on for asked in recorder.asked} == {0, 1}


# ------------------------------------------------------------------ nothing stays behind


def test_what_makes_numbers_never_sees_a_tape():
    seen = []

    @noise._taped
    def draw(where, *sizes):
        seen.append(where)
        return torch.zeros(sizes)

    recorder = Recorder(HERE.step, HERE.keys)
    draw(on_tape(HERE, recorder), 2)
    recorder.asked[0].at(HERE)
    assert seen == [HERE, HERE]
    assert hash(seen[0]) == hash(HERE)
    assert len(recorder.asked) == 1, "to make numbers is not to ask for them"


def test_kept_normals_are_found_with_and_without_a_tape(monkeypatch):
    """Blocks are kept by the noise that they are of."""
    monkeypatch.setattr(native, "library", lambda: None)
    noise._kept_normals.cache_clear()
    first = normals(on_tape(HERE, Recorder(HERE.step, HERE.keys)), 1, 2, 3)
    assert torch.equal(normals(HERE, 1, 2, 3), first)
    found = noise._kept_normals.cache_info()
    assert (found.hits, found.misses) == (1, 1)
    noise._kept_normals.cache_clear()


def test_other_places_of_a_tape_have_the_tape():
    recorder = Recorder(HERE.step, HERE.keys)
    assert on_tape(HERE, recorder).at(step=9, sample=1, row=2).tape is recorder
    assert HERE.at(step=9).tape is None


def test_a_stream_of_another_name_is_refused():
    """The tape plays what it recorded in the step's own streams."""
    with pytest.raises(NotImplementedError, match="own streams"):
        normals(on_tape(HERE, Recorder(HERE.step, HERE.keys)).named("another"), 1, 2, 3)
