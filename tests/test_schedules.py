"""Learning-rate schedules against their closed forms and, where it is installed, against PyTorch."""

import json
from math import cos, pi

import pytest

import fastconv as fc
from fastconv.optim import (
    CosineAnnealingLR,
    ExponentialLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        yield


def sgd(lr=0.001, **options):
    return fc.optim.SGD([fc.tensor([1.0], requires_grad=True)], lr=lr, **options)


def rates(make, count, optimizer=None):
    """The rate before the first step and after each of `count` steps."""
    optimizer = optimizer or sgd()
    schedule = make(optimizer)
    seen = [optimizer.lr]
    for _ in range(count):
        schedule.step()
        seen.append(optimizer.lr)
    return seen


def test_multistep_is_the_lectures_recipe_with_pytorchs_epochs():
    seen = rates(lambda o: MultiStepLR(o, milestones=[150, 75], gamma=0.5), 199)
    assert seen[:75] == [0.001] * 75  # epochs 1 to 75
    assert seen[75:150] == [0.0005] * 75  # 76 to 150
    assert seen[150:] == [0.00025] * 50  # 151 to 200


def test_a_milestone_named_twice_counts_twice():
    assert rates(lambda o: MultiStepLR(o, [1, 1], gamma=0.5), 1) == [0.001, 0.00025]


def test_step_and_exponential():
    assert rates(lambda o: StepLR(o, 2, gamma=0.1), 4) == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5], rel=1e-14)
    assert rates(lambda o: ExponentialLR(o, 0.5), 3) == [0.001, 0.0005, 0.00025, 0.000125]


def test_cosine_goes_down_and_up_again():
    seen = rates(lambda o: CosineAnnealingLR(o, T_max=4, eta_min=1e-5), 8)
    assert seen == pytest.approx([1e-5 + (1e-3 - 1e-5) * (1 + cos(pi * t / 4)) / 2 for t in range(9)], rel=1e-14)
    assert seen[4] == pytest.approx(1e-5)
    assert seen[8] == pytest.approx(1e-3)


def test_one_cycle_ends():
    optimizer = sgd(momentum=0.9)
    seen = rates(lambda o: OneCycleLR(o, max_lr=0.5, total_steps=10, pct_start=0.5), 9, optimizer)
    assert seen[0] == pytest.approx(0.02)
    assert seen[4] == pytest.approx(0.5)
    assert seen[9] == pytest.approx(0.02 / 1e4)
    assert optimizer.momentum == pytest.approx(0.95)


def test_one_cycle_refuses_more_steps_than_it_has():
    schedule = OneCycleLR(sgd(), max_lr=0.5, epochs=2, steps_per_epoch=2, cycle_momentum=False)
    for _ in range(4):
        schedule.step()
    with pytest.raises(fc.ArgumentError, match="all 4 steps are done"):
        schedule.step()


def test_plateau_divides_by_ten_when_the_error_stops_falling():
    optimizer = sgd(0.1)
    schedule = ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    seen = []
    for error in (0.5, 0.4, 0.4, 0.4, 0.4, 0.3):
        schedule.step(error)
        seen.append(optimizer.lr)
    assert seen == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01], rel=1e-14)


def test_plateau_takes_nan_for_no_improvement():
    optimizer = sgd(0.1)
    schedule = ReduceLROnPlateau(optimizer, patience=0)
    schedule.step(float("nan"))
    assert optimizer.lr == pytest.approx(0.01)
    assert schedule.best is None


SCHEDULES = [
    ("MultiStepLR", {"milestones": [3, 5, 5, 11], "gamma": 0.3}),
    ("StepLR", {"step_size": 4, "gamma": 0.2}),
    ("ExponentialLR", {"gamma": 0.91}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.002}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 24}),
    ("OneCycleLR", {"max_lr": 0.3, "epochs": 6, "steps_per_epoch": 4, "three_phase": True, "pct_start": 0.25}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 24, "anneal_strategy": "linear", "base_momentum": 0.7}),
]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_rates_and_momenta_are_pytorchs(name, options, kind):
    torch = pytest.importorskip("torch")
    arguments = {"lr": 0.1, "momentum": 0.9} if kind == "SGD" else {"lr": 0.1}
    theirs = getattr(torch.optim, kind)([torch.zeros(1, requires_grad=True)], **arguments)
    ours = getattr(fc.optim, kind)([fc.tensor([0.0], requires_grad=True)], **arguments)
    their_schedule = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    our_schedule = getattr(fc.optim, name)(ours, **options)
    for step in range(24):
        group = theirs.param_groups[0]
        assert ours.lr == pytest.approx(group["lr"], rel=1e-12), step
        if kind == "SGD":
            assert ours.momentum == pytest.approx(group["momentum"], rel=1e-12), step
        else:
            assert ours.betas == pytest.approx(group["betas"], rel=1e-12), step
        theirs.step()
        if step < 23:
            their_schedule.step()
            our_schedule.step()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2, "factor": 0.5},
        {"mode": "max", "patience": 1, "cooldown": 2},
        {"patience": 1, "threshold": 0.1, "threshold_mode": "abs", "min_lr": 0.02},
        {"mode": "max", "patience": 0, "threshold": 0.05, "threshold_mode": "abs"},
        {"patience": 0, "threshold": 0.2, "eps": 0.02},
    ],
)
def test_plateau_is_pytorchs(options, rng):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    ours = sgd(0.1)
    their_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    our_schedule = ReduceLROnPlateau(ours, **options)
    for metric in rng.normal(0, 0.3, 60):
        their_schedule.step(metric)
        our_schedule.step(metric)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


MAKERS = [
    lambda o: MultiStepLR(o, [2, 4]),
    lambda o: StepLR(o, 2),
    lambda o: ExponentialLR(o, 0.9),
    lambda o: CosineAnnealingLR(o, 5),
    lambda o: OneCycleLR(o, 0.2, total_steps=9),
    lambda o: ReduceLROnPlateau(o, patience=1),
]


def advance(schedule, count):
    for i in range(count):
        schedule.step(*([1.0 + i % 2] if isinstance(schedule, ReduceLROnPlateau) else []))


@pytest.mark.parametrize("make", MAKERS)
def test_a_schedule_goes_on_where_it_was_saved(make):
    whole, first, second = (sgd(0.1, momentum=0.9) for _ in range(3))
    a, b, c = make(whole), make(first), make(second)
    advance(a, 3)
    advance(b, 3)
    c.load_state_dict(json.loads(json.dumps(b.state_dict(), allow_nan=False)))
    assert (second.lr, second.momentum) == (whole.lr, whole.momentum)
    advance(a, 5)
    advance(c, 5)
    assert (second.lr, second.momentum) == (whole.lr, whole.momentum)


def test_the_state_of_another_schedule_is_refused():
    with pytest.raises(fc.ArgumentError, match="belongs to another schedule"):
        StepLR(sgd(), 1).load_state_dict(ReduceLROnPlateau(sgd()).state_dict())
    with pytest.raises(fc.ArgumentError, match="steps must be a number"):
        StepLR(sgd(), 1).load_state_dict({"base_lr": 0.1, "steps": "many"})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o: StepLR(o, 0), "step_size must be a whole number from 1, got 0"),
        (lambda o: ExponentialLR(o, -1.0), "gamma must be above 0"),
        (lambda o: OneCycleLR(o, 0.1), "give total_steps, or both"),
        (lambda o: OneCycleLR(o, 0.1, total_steps=5), "SGD has no momentum to cycle"),
        (lambda o: OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="cubic"), "'cos' or 'linear', got 'cubic'"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), "factor must be above 0 and below 1"),
        (lambda o: ReduceLROnPlateau(o, mode="best"), "mode must be 'min' or 'max'"),
        (lambda o: ReduceLROnPlateau(o).step(), "call step\\(metric\\)"),
    ],
)
def test_impossible_schedules_say_why(make, text):
    with pytest.raises(fc.ArgumentError, match=text):
        make(sgd())
