"""The kernels for groups around their vectors, walks, edges, phases and parts: exact, the same for any threads."""

import numpy as np
import pytest
import reference
from cases import ConvCase, conv_values, floats, names, seeds
from checks import assert_exact, poisoned
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.backends import select
from fastconv.errors import UnsupportedError

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

ROUND = (1, 1, 1, 1)


def case(name, C, H, W, KH=3, KW=3, N=2, **options):
    """A filter for each channel."""
    return ConvCase(name, x=(N, C, H, W), w=(C, 1, KH, KW), groups=C, **options)


def grouped(name, C, OC, G, H=5, W=8, KH=3, KW=3, N=2, padding=ROUND, **options):
    return ConvCase(name, x=(N, C, H, W), w=(OC, C // G, KH, KW), groups=G, padding=padding, **options)


DEPTHWISE = [
    *(case(f"channels_{C}", C, 5, 9, padding=ROUND) for C in (2, 3, 7, 8, 9, 15, 16, 17, 31, 33)),
    *(case(f"width_{W}", 17, 4, W, padding=ROUND) for W in (1, 2, 5, 8, 9, 16, 19)),
    case("stride_2", 18, 9, 21, stride=(2, 2), padding=ROUND),
    case("stride_2_even", 18, 8, 20, stride=(2, 2), padding=ROUND),
    case("stride_3_by_2", 16, 11, 23, stride=(3, 2), padding=(0, 2, 1, 3)),
    case("stride_beyond_the_filter", 16, 9, 13, 1, 2, stride=(3, 4)),
    case("dilated", 16, 11, 25, padding=(2, 2, 3, 3), dilation=(2, 3)),
    case("dilated_strided", 16, 13, 25, padding=(2, 1, 3, 0), dilation=(2, 2), stride=(2, 2)),
    case("dilated_strided_apart", 16, 13, 25, padding=(2, 1, 3, 0), dilation=(3, 3), stride=(2, 2)),
    case("five", 16, 9, 17, 5, 5, padding=(2, 2, 2, 2)),
    case("seven", 16, 9, 17, 7, 7, padding=(3, 3, 3, 3), stride=(2, 2)),
    case("filter_in_parts", 40, 12, 13, 9, 11, padding=(4, 4, 5, 5)),
    case("filter_in_parts_strided", 19, 3, 30, 1, 11, padding=(0, 0, 5, 5), stride=(1, 2)),
    case("filter_in_parts_dilated", 7, 20, 21, 8, 2, dilation=(2, 3)),
    case("pixels_that_alias", 512, 13, 3, padding=ROUND, N=1),
    case("pixels_that_alias_strided", 512, 7, 9, padding=ROUND, stride=(2, 2), N=1),
    case("oblong", 20, 8, 12, 2, 4, padding=(0, 1, 2, 1)),
    case("whole_image", 16, 5, 6, 5, 6),
    case("padding_beyond_the_filter", 16, 3, 4, padding=(5, 4, 3, 6)),
    case("one_image_one_row", 40, 1, 30, 1, 3, N=1),
]
GROUPED = [
    grouped("groups_of_2", 40, 40, 20),
    grouped("groups_of_4", 32, 32, 8),
    grouped("groups_of_4_overlapping", 40, 40, 10),
    grouped("groups_of_5", 15, 15, 3),
    grouped("groups_of_8", 48, 48, 6, stride=(2, 2), W=9),
    grouped("groups_of_16", 64, 64, 4),
    grouped("groups_of_20", 40, 40, 2, stride=(1, 2), dilation=(2, 1)),
    grouped("groups_of_32", 64, 64, 2),
    grouped("groups_that_alias", 512, 512, 16, 7, 5, N=1, stride=(2, 2)),
    grouped("channels_doubled", 6, 12, 6),
    grouped("channels_halved", 36, 18, 18),
    grouped("three_to_two", 9, 6, 3),
    grouped("many_to_few", 48, 6, 2),
    grouped("few_to_many", 6, 68, 2),
    grouped("one_by_one", 24, 24, 3, KH=1, KW=1, padding=(0, 0, 0, 0)),
    grouped("filters_in_parts", 44, 44, 11, 11, 12, KH=9, KW=9, padding=(4, 4, 4, 4)),
    grouped("filters_in_parts_within_a_group", 34, 34, 2, 11, 6, KH=9, KW=1, padding=(4, 4, 0, 0)),
]
CASES = DEPTHWISE + GROUPED


@pytest.fixture(scope="module")
def cpu():
    return select.get("cpu")


def passes(cpu, case, x, w, b, dy):
    """y, dx, dw, db by the kernels for groups, written over poison."""
    g = case.geometry
    y, dx, dw, db = (poisoned(cpu, shape, x.dtype) for shape in (g.y_shape, g.x_shape, g.w_shape, (g.OC,)))
    cpu.conv2d_forward(x, w, b, g, algorithm="groups", out=y)
    cpu.conv2d_backward_data(dy, w, g, algorithm="groups", out=dx)
    cpu.conv2d_backward_weight(dy, x, g, algorithm="groups", out=(dw, db))
    return y, dx, dw, db


def check(cpu, case, rng, dtype):
    x, w, b, dy = (cpu.asarray(a) for a in conv_values(case, rng, dtype=dtype))
    expected = reference.conv2d(x, w, b, **case.options), *reference.conv2d_backward(dy, x, w, **case.options)
    for actual, e in zip(passes(cpu, case, x, w, b, dy), expected, strict=True):
        assert_exact(actual, e, dtype)


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_pass_is_exact(cpu, case, dtype, rng):
    check(cpu, case, rng, dtype)


@st.composite
def grouped_cases(draw):
    """Any small convolution in groups that has an output; half of them depthwise."""
    axes = []
    for _ in "HW":
        taps, stride, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
        before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        smallest = max(1, (taps - 1) * dilation + 1 - before - after)
        axes.append((taps, stride, dilation, before, after, smallest + draw(st.integers(0, 12))))
    (KH, SH, DH, PH, PB, H), (KW, SW, DW, PW, PR, W) = axes
    CG, KG = (1, 1) if draw(st.booleans()) else (draw(st.integers(1, 9)), draw(st.integers(1, 20)))
    G = draw(st.integers(2, 20 // max(CG, 2)))
    return ConvCase(
        "random", x=(draw(st.integers(1, 3)), G * CG, H, W), w=(G * KG, CG, KH, KW), groups=G,
        stride=(SH, SW), padding=(PH, PB, PW, PR), dilation=(DH, DW),
    )  # fmt: skip


@settings(max_examples=20)
@given(case=grouped_cases(), seed=seeds)
def test_random_problems_are_exact(cpu, case, seed):
    check(cpu, case, np.random.default_rng(seed), "float32")


@pytest.mark.parametrize("case", [DEPTHWISE[6], DEPTHWISE[17], GROUPED[1]], ids=lambda c: c.name)
def test_it_is_chosen_in_every_direction(cpu, case):
    for direction in ("forward", "backward_data", "backward_weight"):
        chosen = next(c for c in cpu.explain(case.geometry, direction) if c.declined is None)
        assert chosen.name == "groups"


def test_one_group_and_large_ones_are_declined_with_the_reason(cpu, rng):
    one = ConvCase("one", x=(1, 4, 5, 5), w=(8, 4, 3, 3), groups=1)
    deep = ConvCase("deep", x=(1, 130, 3, 3), w=(2, 65, 1, 1), groups=2)
    large = ConvCase("large", x=(1, 60, 9, 9), w=(2, 30, 7, 7), groups=2)
    for declined, match in ((one, "one group"), (deep, "fill tiles"), (large, "first-level cache")):
        x, w, b, _ = (cpu.asarray(a) for a in conv_values(declined, rng))
        with pytest.raises(UnsupportedError, match=match):
            cpu.conv2d_forward(x, w, b, declined.geometry, algorithm="groups")


@pytest.mark.parametrize(
    "large",
    [
        case("large", 33, 30, 31, N=3, padding=ROUND, stride=(1, 2)),
        case("large_single", 70, 40, 31, N=1, padding=ROUND),
        grouped("large_groups", 64, 64, 16, 20, 21, N=3),
    ],
    ids=lambda c: c.name,
)
def test_results_do_not_depend_on_the_threads(cpu, rng, large):
    values = [cpu.asarray(a) for a in conv_values(large, rng, floats)]
    before = fc.get_threads()
    try:
        results = []
        for threads in (1, 2):
            fc.set_threads(min(threads, before))
            results.append([a.tobytes() for a in passes(cpu, large, *values)])
    finally:
        fc.set_threads(before)
    assert results[0] == results[1]


def test_a_nan_reaches_every_output_that_reads_it_and_no_other(cpu):
    g = case("nan", 20, 7, 8, N=1, padding=ROUND).geometry
    x, w = cpu.zeros(g.x_shape), cpu.zeros(g.w_shape)
    x[0, 3, 4, 5] = np.nan
    y = cpu.conv2d_forward(x, w, None, g, algorithm="groups")
    touched = np.zeros((20, 7, 8), bool)
    touched[3, 3:6, 4:7] = True
    assert (np.isnan(y[0]) == touched).all()


def test_a_nan_stays_within_its_group(cpu):
    g = grouped("nan", 24, 12, 6, N=1).geometry
    x, w = cpu.zeros(g.x_shape), cpu.zeros(g.w_shape)
    x[0, 9, 2, 2] = np.nan
    y = cpu.conv2d_forward(x, w, None, g, algorithm="groups")
    touched = np.zeros((12, 5, 8), bool)
    touched[4:6, 1:4, 1:4] = True
    assert (np.isnan(y[0]) == touched).all()


def test_a_nan_reaches_every_tap_that_reads_it_and_no_other(cpu):
    g = case("nan", 20, 6, 9, N=2, padding=ROUND).geometry
    x, dy = cpu.zeros(g.x_shape), cpu.zeros(g.y_shape)
    x[1, 3, 0, 0] = np.nan
    dw, _ = cpu.conv2d_backward_weight(dy, x, g, algorithm="groups")
    touched = np.zeros((20, 1, 3, 3), bool)
    touched[3, 0, :2, :2] = True  # the others never meet the corner of a padded image
    assert (np.isnan(dw) == touched).all()


def test_relu_in_the_epilogue(cpu, rng):
    small = grouped("relu", 12, 12, 3)
    x, w, b, _ = (cpu.asarray(a) for a in conv_values(small, rng))
    y = cpu.conv2d_forward(x, w, b, small.geometry, algorithm="groups", activation="relu")
    assert_exact(y, np.maximum(reference.conv2d(x, w, b, **small.options), 0), "float32")
