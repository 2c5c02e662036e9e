"""What Python prints for the objects a user makes."""

import re

import numpy as np
import pytest

import fastconv as fc


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        yield


def test_optimizers_show_their_options():
    layer = fc.nn.Linear(3, 2)
    assert repr(fc.optim.SGD(layer.parameters(), 0.1, momentum=0.9)) == (
        "SGD(of 2 parameters, lr=0.1, weight_decay=0.0, momentum=0.9, nesterov=False; 0 steps done)"
    )
    adam = fc.optim.Adam(layer.parameters())
    layer(np.ones((1, 3), "float32")).sum().backward()
    adam.step()
    assert (
        repr(adam) == "Adam(of 2 parameters, lr=0.001, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-08; 1 steps done)"
    )


def test_schedules_show_where_they_stand():
    schedule = fc.optim.StepLR(fc.optim.SGD(fc.nn.Linear(3, 2).parameters(), 0.1), step_size=1, gamma=0.5)
    schedule.step()
    assert repr(schedule) == "StepLR(first lr 0.1, now 0.05 after 1 steps)"


def test_a_trainer():
    model = fc.nn.Linear(3, 2)
    trainer = fc.Trainer(model, fc.optim.SGD(model.parameters(), 0.1), compile=False)
    assert repr(trainer).startswith("Trainer(Linear, SGD(of 2 parameters, lr=0.1")
    assert repr(trainer).endswith("eager steps, 0 epochs done)")


def test_compiled_functions():
    model = fc.nn.Linear(3, 2)
    predict = fc.compile(model)
    assert repr(predict) == "<compiled inference of Linear, 0 plans>"
    predict(np.ones((1, 3), "float32"))
    assert repr(predict) == "<compiled inference of Linear, 1 plans>"
    step = fc.compile(model, fc.nn.CrossEntropyLoss(), fc.optim.SGD(model.parameters(), 0.1))
    assert repr(step) == "<compiled training step of Linear, 0 plans>"


def test_help_lists_what_there_is():

    named = set(re.findall(r"fc\.(\w+)", fc.__doc__))
    assert {"use", "Trainer", "compile", "nn", "Function", "lectures"} <= named
    assert not [name for name in named if not hasattr(fc, name)]
    networks = re.search(r"whole networks, (.*)", fc.__doc__)[1]
    assert all(hasattr(fc.models, name) for name in re.findall(r"[A-Z]\w+", networks))


def test_the_lectures_params():
    assert repr(fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2}, 5).params) == (
        "params(W1 (2, 1, 5, 5), b1 (2,), W2 (8, 5), b2 (5,), W3 (5, 10), b3 (10,))"
    )


def test_options_that_change_a_layer_are_shown():
    assert repr(fc.nn.MaxPool2d(3, 2, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=True)"
    )
    assert repr(fc.nn.AvgPool2d(2, count_include_pad=False)) == (
        "AvgPool2d(kernel_size=2, stride=2, padding=0, ceil_mode=False, count_include_pad=False)"
    )
    assert repr(fc.nn.KMaxPool(3)) == "KMaxPool(k=3, axis=-1)"
    assert repr(fc.nn.LocalResponseNorm(5, k=2.0)) == "LocalResponseNorm(size=5, alpha=0.0001, beta=0.75, k=2.0)"
    assert repr(fc.nn.Flatten(2)) == "Flatten(start_dim=2)"
    assert repr(fc.nn.CrossEntropyLoss("sum")) == "CrossEntropyLoss(reduction='sum')"
