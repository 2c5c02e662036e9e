"""fc.summary: shapes, parameters and multiplications of every layer."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        yield


def test_lenet5_layer_by_layer():
    s = fc.summary(fc.models.LeNet5((1, 32, 32)), (1, 32, 32))
    shapes = {row.name: row.shape for row in s.rows}
    assert [shapes[name] for name in ("c1", "s2", "c3", "s4", "flatten", "c5", "f6", "output")] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,), (120,), (84,), (10,)
    ]  # fmt: skip
    parameters = {row.name: row.parameters for row in s.rows if row.parameters}
    assert parameters == {"c1": 156, "c3": 2416, "c5": 48120, "f6": 10164, "output": 850}
    assert s.parameters == 61_706
    assert s.bytes == 4 * 61_706
    assert s.multiplications == 784 * 150 + 100 * 2400 + 48_000 + 10_080 + 840


def test_simple_convnet_has_433890_parameters():
    assert fc.summary(fc.models.SimpleConvNet(), (1, 28, 28)).parameters == 433_890


def test_the_lectures_layer_of_225_million_multiplications():
    net = Conv2d(3, 200, 5, padding="same")
    s = fc.summary(net, (3, 100, 150))
    assert s.parameters == 15_200
    assert s.multiplications == 225_000_000
    assert s.rows[0].name == "(itself)"


def test_the_printed_table():
    net = Sequential(Conv2d(1, 4, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(36, 1000))
    lines = str(fc.summary(net, (1, 8, 8))).splitlines()
    assert lines[0] == "Sequential, input 1 x 8 x 8"
    cells = [line.split() for line in lines]
    assert ["0", "Conv2d", "4", "x", "6", "x", "6", "40", "160", "1,296"] in cells
    assert ["2", "MaxPool2d", "4", "x", "3", "x", "3", "-", "-", "-"] in cells
    assert ["4", "Linear", "1000", "37,000", "148,000", "36,000"] in cells
    assert ["total", "37,040", "148,160", "37,296"] in cells


def test_a_shared_layer_has_two_rows_and_counts_once():
    shared = Linear(3, 3)
    s = fc.summary(Sequential(shared, ReLU(), shared), (3,))
    assert [row.parameters for row in s.rows] == [12, 0, 0]
    assert s.multiplications == 18


def test_modules_with_parameters_of_their_own_and_modules_inside():
    class Scaled(Module):
        def __init__(self):
            super().__init__()
            self.scale = fc.nn.Parameter(np.ones(1, "float32"))
            self.inner = Linear(2, 2)

        def forward(self, x):
            return self.inner(x) * self.scale

    s = fc.summary(Sequential(Scaled()), (2,))
    assert [(row.name, row.parameters) for row in s.rows] == [("0.inner", 6), ("0", 1)]


def test_the_model_is_as_it_was():
    net = Sequential(Linear(2, 2), Dropout(0.5).eval())
    before = net.state_dict()
    fc.summary(net, (2,))
    assert net.training
    assert not net[1].training
    assert all(p.grad is None for p in net.parameters())
    assert (net.state_dict()["0.weight"] == before["0.weight"]).all()


def test_nothing_is_computed():
    with fc.nn.init.unset():
        net = Sequential(
            Conv2d(3, 100, 3), Flatten(), Linear(100 * 998 * 998, 2)
        )  # 0.8 GB, of which nothing is touched
    s = fc.summary(net, (3, 1000, 1000))
    assert s.parameters == 2800 + 2 * (100 * 998 * 998 + 1)
    assert s.multiplications == 998 * 998 * 2700 + 2 * 100 * 998 * 998


def test_a_model_that_looks_at_values_is_run():
    class Sign(Module):
        def __init__(self):
            super().__init__()
            self.inner = Linear(2, 3)

        def forward(self, x):
            return self.inner(x) if float(x.sum()) >= 0 else x

    class Logarithm(fc.Function):
        def forward(self, be, x):
            return be.asarray(np.log(x + 1))

    class Log(Module):
        def forward(self, x):
            return Logarithm.apply(x)

    s = fc.summary(Sequential(Sign(), Log()), (2,))
    assert [(row.name, row.shape, row.parameters) for row in s.rows] == [("0.inner", (3,), 9), ("1", (3,), 0)]


def test_an_input_that_does_not_fit_is_named():
    with pytest.raises(fc.ShapeError, match="w expects 1 input channels, x has 3"):
        fc.summary(fc.models.SimpleConvNet(), (3, 28, 28))
    with pytest.raises(fc.ShapeError, match="input_shape must be that of one image"):
        fc.summary(fc.models.SimpleConvNet(), ())
