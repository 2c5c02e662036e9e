"""How much of the image one unit sees: against the papers' numbers, and against where gradients arrive."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import fastconv as fc
from fastconv.nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        yield


def fields(model, *shapes):
    return [row.receptive_field for row in fc.summary(model, *shapes).rows]


def test_three_3x3_layers_see_as_much_as_one_7x7():
    assert fields(Sequential(*[Conv2d(1, 1, 3) for _ in range(3)]), (1, 12, 12)) == [(3, 3), (5, 5), (7, 7)]
    assert fields(Conv2d(1, 1, 7), (1, 12, 12)) == [(7, 7)]


@pytest.mark.parametrize(
    ("name", "side", "layer", "size"),
    [("alexnet", 227, "s8", 195), ("vgg16", 224, "pool5", 212), ("resnet50", 224, "conv5_3.norm3", 483)],
)
def test_networks_have_the_fields_of_the_article(name, side, layer, size):
    """Table 1 of Araujo, Norris & Sim 2019."""
    with fc.nn.init.unset():
        rows = fc.summary(fc.models.build(name), (3, side, side)).rows
    assert {row.name: row.receptive_field for row in rows}[layer] == (size, size)


def test_lenet5_until_its_places_end():
    rows = {row.name: row.receptive_field for row in fc.summary(fc.models.LeNet5((1, 32, 32)), (1, 32, 32)).rows}
    assert [rows[name] for name in ("c1", "act1", "s2", "c3", "s4")] == [(5, 5), (5, 5), (6, 6), (14, 14), (16, 16)]
    assert {rows[name] for name in ("flatten", "c5", "output")} == {None}


windows = st.tuples(
    st.sampled_from(["conv", "pool"]), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 1),
    st.integers(1, 2),
)  # fmt: skip


@given(st.lists(windows, min_size=1, max_size=3))
def test_gradients_arrive_where_the_unit_sees(stack):
    with fc.use("reference"):
        layers = []
        for kind, KH, KW, stride, padding, dilation in stack:
            if kind == "conv":
                layers.append(Conv2d(1, 1, (KH, KW), stride, padding, dilation, bias=False))
                layers[-1].weight.data[...] = 1
            else:
                layers.append(AvgPool2d((KH, KW), stride, padding if min(KH, KW) > 1 else 0))
        x = fc.tensor(np.zeros((1, 1, 60, 56)), requires_grad=True)
        for layer in layers:
            for p in layer.parameters():
                p.data = p.data.astype("float64")
        model = Sequential(*layers)
        y = model(x)
        middle = np.zeros(y.shape)
        middle[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1
        y.backward(middle)
        touched = x.grad.numpy()[0, 0]
        rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
        assume(min(rows[0], 59 - rows[-1], columns[0], 55 - columns[-1]) > 0)  # nothing is cut off
        assert fields(model, (1, 60, 56))[-1] == (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)


def test_branches_that_meet_see_what_any_of_them_sees():
    class Block(Module):
        def __init__(self, merge):
            super().__init__()
            self.merge, self.left, self.right = merge, Conv2d(2, 2, 5, padding=2), Conv2d(2, 2, (1, 3), padding=(0, 1))
            self.after = Conv2d(4 if merge == "concat" else 2, 1, 3)

        def forward(self, x):
            left, right = fc.functional.relu(self.left(x)), self.right(x)
            return self.after(fc.functional.concat([left, right]) if self.merge == "concat" else left + right + x)

    for merge in ("concat", "add"):
        assert fields(Block(merge), (2, 9, 9)) == [(5, 5), (1, 3), (7, 7)]


def test_branches_side_by_side_count_from_the_outermost_pixel():
    class Shifted(Module):
        """A window that starts at its unit beside one that ends there."""

        def __init__(self):
            super().__init__()
            self.ahead, self.behind = Conv2d(1, 1, 3, padding=(0, 2, 0, 2)), Conv2d(1, 1, 3, padding=(2, 0, 2, 0))
            self.end = ReLU()

        def forward(self, x):
            return self.end(self.ahead(x) + self.behind(x))

    assert fields(Shifted(), (1, 9, 9)) == [(3, 3), (3, 3), (5, 5)]


def test_padding_by_hand_moves_a_map():
    class Padded(Module):
        def __init__(self, padding):
            super().__init__()
            self.padding, self.conv, self.end = padding, Conv2d(1, 1, 3), ReLU()

        def forward(self, x):
            y = self.conv(fc.functional.pad(x, self.padding))
            return self.end(y + x)

    assert fields(Padded(1), (1, 8, 8)) == [(3, 3), (3, 3)]  # around the pixel that is added
    assert fields(Padded((2, 0, 0, 2)), (1, 8, 8)) == [(3, 3), (3, 3)]  # it ends, and starts, with that pixel


def test_where_places_end_or_cannot_be_followed():
    class Turned(Module):
        def __init__(self):
            super().__init__()
            self.conv = Conv2d(1, 1, 3)

        def forward(self, x):
            return self.conv(x.transpose(0, 1, 3, 2))

    class Looking(Module):
        def __init__(self):
            super().__init__()
            self.conv = Conv2d(1, 1, 3)

        def forward(self, x):
            return self.conv(x if x.numpy().sum() == 0 else -x)

    assert fields(Turned(), (1, 8, 6)) == [None]
    assert fields(Looking(), (1, 8, 8)) == [None]
    assert fields(Sequential(Flatten(), Linear(4, 2)), (1, 2, 2)) == [None, None]
    assert fields(Linear(4, 2), (4,)) == [None]


def test_the_column_is_printed_where_asked_for():
    net = Sequential(Conv2d(1, 4, (3, 2)), MaxPool2d(2), Flatten())
    assert "receptive" not in str(fc.summary(net, (1, 8, 8)))
    cells = [line.split() for line in str(fc.summary(net, (1, 8, 8), receptive_fields=True)).splitlines()]
    assert ["1", "MaxPool2d", "4", "x", "3", "x", "3", "4", "x", "3", "-", "-", "-"] in cells
    assert ["2", "Flatten", "36", "-", "-", "-", "-"] in cells
