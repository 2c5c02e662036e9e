"""Optimizer steps on every backend against their formulas in float64."""

from dataclasses import dataclass

import numpy as np
import pytest
import reference
from cases import floats
from checks import unchanged

from fastconv.errors import FastconvError

SHAPES = ((6, 1, 5, 5), (6,), (10, 33), (1,), (3, 2, 1, 7), (4_099,))


@dataclass(frozen=True)
class Rule:
    """One optimizer: its step, how many state arrays it keeps, and its options."""

    name: str
    states: int
    options: dict
    counts_steps: bool = False

    def __str__(self):
        return f"{self.name}_{self.states}_{'_'.join(str(v) for v in self.options.values())}"


ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

RULES = [
    Rule("sgd", 0, {"lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
    Rule("sgd", 0, {"lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.01}),
    Rule("sgd", 1, {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.01}),
    Rule("sgd", 1, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    Rule("adagrad", 1, {"lr": 0.1, "eps": 1e-7, "weight_decay": 0.0}),
    Rule("adagrad", 1, {"lr": 0.1, "eps": 1e-7, "weight_decay": 0.01}),
    Rule("rmsprop", 1, {"lr": 0.01, "alpha": 0.9, "eps": 1e-7, "weight_decay": 0.01}),
    Rule("adadelta", 2, {"lr": 1.0, "rho": 0.95, "eps": 1e-6, "weight_decay": 0.01}),
    *(
        Rule("adam", 2, {**ADAM, "weight_decay": decay, "decoupled": decoupled}, counts_steps=True)
        for decay, decoupled in ((0.0, False), (0.1, False), (0.1, True))
    ),
]
WRONG = ("shape of a gradient", "type of a gradient", "missing gradient", "shape of a state", "missing state")
every_rule = pytest.mark.parametrize("rule", RULES, ids=str)


def step(backend, rule, params, grads, states, number):
    """One step of `rule` on the backend's arrays, in place."""
    counted = {"step": number} if rule.counts_steps else {}
    lists = [[]] if rule.name == "sgd" and not rule.states else states
    getattr(backend, rule.name + "_step")(params, grads, *lists, **rule.options, **counted)


def expected_step(rule, p, g, states, number):
    """The new parameter and states in float64."""
    counted = {"step": number} if rule.counts_steps else {}
    p, *states = getattr(reference, rule.name + "_step")(p, g, *states, **rule.options, **counted)
    return p, states[: rule.states]


class TestSteps:
    @every_rule
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_five_steps(self, backend, rule, dtype, rng):
        params = [backend.asarray(floats(rng, shape, dtype)) for shape in SHAPES]
        states = [[backend.zeros(shape, dtype) for shape in SHAPES] for _ in range(rule.states)]
        expected = [(backend.to_numpy(p).astype("float64"), [np.zeros(p.shape)] * rule.states) for p in params]
        for number in range(1, 6):
            grads = [backend.asarray(floats(rng, shape, dtype)) for shape in SHAPES]
            with unchanged(backend, *grads):
                step(backend, rule, params, grads, states, number)
            expected = [
                expected_step(rule, p, backend.to_numpy(g).astype("float64"), s, number)
                for (p, s), g in zip(expected, grads, strict=True)
            ]
        tolerance = 200 * np.finfo(dtype).eps
        for i, (p, own) in enumerate(expected):
            assert params[i].dtype == dtype
            np.testing.assert_allclose(backend.to_numpy(params[i]), p, rtol=tolerance, atol=tolerance)
            for state, s in zip(states, own, strict=True):
                np.testing.assert_allclose(backend.to_numpy(state[i]), s, rtol=tolerance, atol=tolerance)

    @every_rule
    def test_gradients_may_lie_otherwise_than_parameters(self, backend, rule, rng):
        shape = (4, 3, 5, 2)
        values, gradient = floats(rng, shape), floats(rng, shape)
        rows = backend.asarray(gradient.reshape(-1)).reshape(shape)
        results = []
        for g in (backend.asarray(gradient), rows):
            p = backend.asarray(values.copy())
            step(backend, rule, [p], [g], [[backend.zeros(shape)] for _ in range(rule.states)], 1)
            results.append(backend.to_numpy(p))
        np.testing.assert_array_equal(*results)

    @every_rule
    def test_the_same_gradients_again_and_others_in_between(self, backend, rule, rng):
        """What is remembered of the arrays of earlier steps never counts for other arrays."""
        shape = (3, 4, 2, 5)
        one, other = floats(rng, shape), floats(rng, shape)
        again, another = backend.asarray(one), backend.asarray(other)
        otherwise = backend.asarray(one.reshape(-1)).reshape(shape)
        results = []
        for grads in (
            [again, again, another, otherwise, again],
            [backend.asarray(a.copy()) for a in (one, one, other, one, one)],
        ):
            p, states = backend.asarray(np.ones(shape, "float32")), [[backend.zeros(shape)] for _ in range(rule.states)]
            for number, g in enumerate(grads, 1):
                step(backend, rule, [p], [g], states, number)
            results.append(backend.to_numpy(p))
        np.testing.assert_array_equal(*results)

    @every_rule
    def test_changes_the_same_memory(self, backend, rule, rng):
        p = backend.asarray(floats(rng, (3, 4)))
        view = p[1:]
        before = backend.to_numpy(view).copy()
        step(
            backend,
            rule,
            [p],
            [backend.asarray(floats(rng, (3, 4)))],
            [[backend.zeros((3, 4))] for _ in range(rule.states)],
            1,
        )
        assert (backend.to_numpy(view) != before).all()

    @every_rule
    def test_not_a_number_stays_in_its_element(self, backend, rule, rng):
        gradient = floats(rng, (40,))
        gradient[17] = np.nan
        p = backend.asarray(floats(rng, (40,)))
        step(backend, rule, [p], [backend.asarray(gradient)], [[backend.zeros((40,))] for _ in range(rule.states)], 1)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(backend.to_numpy(p))), [17])

    @pytest.mark.parametrize(
        ("rule", "wrong"), [(r, w) for r in RULES for w in WRONG if r.states or not w.endswith("state")], ids=str
    )
    def test_arrays_that_do_not_fit(self, backend, rule, wrong):
        params, grads = [backend.zeros((3, 4)), backend.zeros((5,))], [backend.zeros((3, 4)), backend.zeros((5,))]
        states = [[backend.zeros((3, 4)), backend.zeros((5,))] for _ in range(rule.states)]
        match wrong:
            case "shape of a gradient":
                grads[1] = backend.zeros((4,))
            case "type of a gradient":
                grads[1] = backend.zeros((5,), "float64")
            case "missing gradient":
                grads.pop()
            case "shape of a state":
                states[-1][0] = backend.zeros((4, 3))
            case "missing state":
                states[-1].pop()
        with pytest.raises(FastconvError, match=f"{rule.name}_step: "):
            step(backend, rule, params, grads, states, 1)

    @every_rule
    def test_read_only_parameters_are_not_written_to(self, backend, rule):
        p = backend.zeros((3, 4))
        if not hasattr(p, "flags") or not hasattr(p.flags, "writeable"):
            pytest.skip(f"the {backend.name} backend's arrays are never read-only")
        p.flags.writeable = False
        with pytest.raises(FastconvError, match="read-only"):
            step(backend, rule, [p], [backend.zeros((3, 4))], [[backend.zeros((3, 4))] for _ in range(rule.states)], 1)
