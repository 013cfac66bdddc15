"""Adam is Adam, in C and by PyTorch: for each run of a stack, by its own scalars."""

import pytest
import torch

from tests.support.runs import tiny
from vaebench.config.build import build_stack
from vaebench.ops import c
from vaebench.ops.adam import AdamScalars, MoveGroups
from vaebench.ops.c.adam import MoveInC, can_move_in_c
from vaebench.ops.c.declarations import structure
from vaebench.training.descent import StackAdam

RATES, DECAYS, NUM_STEPS = (1e-2, 1e-2, 3e-3), (0.0, 0.1, 0.1), 7
EPSILON = torch.finfo(torch.float32).eps
in_c = pytest.param(MoveInC, marks=pytest.mark.skipif(bool(c.problem()), reason="no C"))
ways = pytest.mark.parametrize("way", [in_c, MoveGroups])


@pytest.fixture
def adam_of(way, monkeypatch):
    """Makes the optimiser of a model; it must go the way of the test."""
    if way is MoveGroups:
        monkeypatch.setattr(c, "library", lambda: None)

    def make(model, moments=None):
        adam = StackAdam(model, moments)
        assert type(adam.move) is way
        return adam

    return make


def models(num_runs=3):
    """A stack, and each of its runs alone."""
    configs = [tiny(seed=i) for i in range(num_runs)]
    return build_stack(configs, (8, 8)), [build_stack([config], (8, 8)) for config in configs]


def differentiate(*some):
    for model in some:
        model.zero_grad()
        sum(p.sin().square().sum() for p in model.parameters()).backward()


def scalars_of(rates, decays):
    return [AdamScalars(rate, decay) for rate, decay in zip(rates, decays, strict=True)]


SCALARS = scalars_of(RATES, DECAYS)


USUAL = [{}] * 3
BETAS = [
    {"beta1": 0.5, "beta2": 0.99, "epsilon": 1e-4},
    {},
    {"beta1": 0.99, "beta2": 0.9, "epsilon": 1e-2},
]


@ways
@pytest.mark.parametrize("averages", [USUAL, BETAS])
@pytest.mark.parametrize("decays", [[0.0] * 3, DECAYS])
@pytest.mark.parametrize("rates", [[1e-2] * 3, RATES, [1e-2, 3e-3, 1e-2]])
def test_each_run_of_a_stack_has_the_adamw_of_torch(rates, decays, averages, adam_of):
    """In float64 torch has more digits than any way here: the moves of all steps, to roundings.
    The learning rates are other ones in each step."""
    stack, alone = models()
    start = [p.detach().clone() for p in stack.parameters()]
    adam = adam_of(stack)
    scalars = [
        scalar._replace(**average)
        for scalar, average in zip(scalars_of(rates, decays), averages, strict=True)
    ]
    references = [
        torch.optim.AdamW(
            model.double().parameters(),
            betas=(of_run.beta1, of_run.beta2),
            eps=of_run.epsilon,
            weight_decay=of_run.weight_decay,
        )
        for model, of_run in zip(alone, scalars, strict=True)
    ]
    for step in range(NUM_STEPS):
        now = [s._replace(learning_rate=s.learning_rate * (1.0 - 0.1 * step)) for s in scalars]
        differentiate(stack, *alone)
        adam.step(now)
        for optimiser, of_run in zip(references, now, strict=True):
            optimiser.param_groups[0]["lr"] = of_run.learning_rate
            optimiser.step()
        assert all(p.isfinite().all() for model in (stack, *alone) for p in model.parameters())
    for i, model in enumerate(alone):
        for a, b, was in zip(stack.parameters(), model.parameters(), start, strict=True):
            moved, expected = a[i].double() - was[i].double(), b[0] - was[i].double()
            torch.testing.assert_close(moved, expected, rtol=1e-4, atol=8 * EPSILON)
    assert int(adam.moments.count) == NUM_STEPS


def test_the_scalars_of_c_are_those_of_python_in_their_order():
    assert tuple(name for name, _ in structure("AdamScalars")._fields_) == AdamScalars._fields


def test_in_float64_torch_moves_them():
    stack = models()[0].double()
    assert isinstance(StackAdam(stack).move, MoveGroups)


@ways
def test_a_run_has_the_same_bits_alone(adam_of):
    stack, alone = models()
    optimisers = [adam_of(model) for model in (stack, *alone)]
    for _ in range(NUM_STEPS):
        differentiate(stack, *alone)
        for optimiser, scalars in zip(optimisers, [SCALARS, *([s] for s in SCALARS)], strict=True):
            optimiser.step(scalars)
    for i, model in enumerate(alone):
        for a, b in zip(stack.parameters(), model.parameters(), strict=True):
            assert torch.equal(a[i], b[0])


@ways
def test_what_has_no_gradient_stays_and_what_is_not_finite_stays_in_its_run(adam_of):
    (stack, _), (other, _) = models(), models()
    optimisers = [adam_of(model) for model in (stack, other)]
    differentiate(stack, other)
    free, *rest = stack.parameters()
    before, free.grad = free.detach().clone(), None
    for parameter in rest:
        parameter.grad[1] = float("nan")
    for optimiser in optimisers:
        optimiser.step(SCALARS)
    assert torch.equal(free, before)
    assert not optimisers[0].moments.first[0].any()
    for a, b in zip(rest, list(other.parameters())[1:], strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])
        assert a[1].isnan().all()


@ways
def test_moments_go_on_where_they_were(adam_of):
    """The moments of two of three runs, copied after some steps."""
    (stack, _), (part, _) = models(), models(2)
    adam = adam_of(stack)
    for _ in range(NUM_STEPS):
        differentiate(stack)
        adam.step(SCALARS)
    for subset, whole in zip(part.parameters(), stack.parameters(), strict=True):
        subset.data.copy_(whole[[2, 0]])
    resumed = adam_of(part, adam.moments.of([2, 0]))
    for _ in range(NUM_STEPS):
        differentiate(stack, part)
        adam.step(SCALARS)
        resumed.step([SCALARS[2], SCALARS[0]])
    for subset, whole in zip(part.parameters(), stack.parameters(), strict=True):
        assert torch.equal(subset, whole[[2, 0]])


def test_memory_that_is_not_in_order_is_not_given_to_c():
    stack, _ = models()
    values = [p.detach() for p in stack.parameters()]
    assert can_move_in_c(values) == (not c.problem())
    assert not can_move_in_c([*values, torch.zeros(3, 4, 5).mT])


@ways
def test_a_parameter_with_other_memory_is_moved_there(adam_of):
    """`.data` may be assigned at any time; what it was before stays as it was."""
    stack, twin = models()[0], models()[0]
    adam, of_twin = map(adam_of, (stack, twin))
    for step in range(NUM_STEPS):
        if step == 2:
            before = [p.data for p in stack.parameters()]
            kept = [p.data.clone() for p in stack.parameters()]
            for parameter in stack.parameters():
                parameter.data = parameter.data.clone()
        differentiate(stack, twin)
        adam.step(SCALARS)
        of_twin.step(SCALARS)
    for left, copy in zip(before, kept, strict=True):
        assert torch.equal(left, copy)
    for subset, other in zip(stack.parameters(), twin.parameters(), strict=True):
        assert torch.equal(subset, other)
