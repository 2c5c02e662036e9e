"""The convolution algorithms where the CPU kernels cut their work: ends of blocks, tiles, chunks and sums; exact."""

import numpy as np
import pytest
import reference
from cases import ConvCase, conv_cases, conv_values, names, seeds
from checks import assert_exact, poisoned
from hypothesis import given

from fastconv.backends import select
from fastconv.errors import ArgumentError, UnsupportedError

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

# Sizes around the vectors of 4 to 16 lanes, blocks of 2 vectors, tiles of 6 to 13 rows, and whole chunks of pixels.
CASES = [
    ConvCase("one_by_one_is_a_product", x=(3, 33, 5, 4), w=(17, 33, 1, 1)),
    ConvCase("one_by_one_with_stride", x=(2, 18, 6, 7), w=(34, 18, 1, 1), stride=(2, 3)),
    ConvCase("many_blocks", x=(1, 40, 6, 5), w=(100, 40, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("one_channel", x=(30, 1, 12, 11), w=(30, 1, 5, 5)),
    ConvCase("one_channel_few_filters", x=(11, 1, 12, 18), w=(5, 1, 3, 5), padding=(2, 1, 0, 2)),
    ConvCase("few_filters", x=(3, 2, 14, 35), w=(7, 2, 3, 3), padding=(1, 0, 2, 5), dilation=(2, 1)),
    ConvCase("few_filters_of_a_tall_image", x=(2, 3, 29, 14), w=(1, 3, 2, 2), padding=(9, 1, 0, 1)),
    ConvCase("few_channels_in_and_out", x=(29, 6, 9, 8), w=(16, 6, 5, 5), padding=(2, 1, 0, 2)),
    ConvCase("three_channels_stride", x=(3, 3, 19, 21), w=(24, 3, 7, 7), stride=(2, 2), padding=(3, 3, 3, 3)),
    ConvCase("stride_beyond_the_filter", x=(2, 5, 11, 10), w=(9, 5, 2, 2), stride=(3, 4)),
    ConvCase("three_channels_many_filters", x=(3, 3, 15, 16), w=(64, 3, 5, 4), stride=(2, 1), padding=(2, 3, 1, 2)),
    ConvCase("few_channels_a_group", x=(2, 6, 7, 9), w=(96, 3, 3, 3), groups=2, padding=(1, 1, 1, 1)),
    ConvCase("wide_row", x=(1, 2, 3, 700), w=(3, 2, 2, 3), padding=(0, 1, 1, 0)),
    ConvCase("long_row_many_channels", x=(1, 17, 2, 600), w=(14, 17, 2, 3), padding=(1, 0, 1, 1)),
    ConvCase("one_by_one_of_many_channels", x=(2, 200, 9, 8), w=(40, 200, 1, 1)),
    ConvCase("several_sums_of_many_channels", x=(4, 35, 17, 21), w=(18, 35, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("few_filters_of_many_channels", x=(2, 70, 9, 8), w=(9, 70, 3, 3), padding=(2, 0, 1, 2), dilation=(1, 2)),
    ConvCase("dilated", x=(2, 20, 12, 13), w=(33, 20, 3, 3), padding=(2, 2, 3, 1), dilation=(2, 3)),
    ConvCase("padding_beyond_the_filter", x=(2, 18, 3, 2), w=(18, 18, 3, 3), padding=(5, 4, 3, 6)),
    ConvCase("groups", x=(2, 36, 6, 5), w=(40, 18, 3, 3), padding=(1, 1, 1, 1), groups=2),
    ConvCase("groups_of_many_channels", x=(2, 80, 7, 5), w=(38, 40, 3, 3), padding=(1, 1, 1, 1), groups=2),
    ConvCase("depthwise", x=(2, 19, 7, 6), w=(19, 1, 3, 3), padding=(1, 1, 1, 1), groups=19),
    ConvCase("depthwise_times_two", x=(2, 17, 7, 6), w=(34, 1, 3, 2), stride=(2, 1), groups=17),
    ConvCase("four_channels_a_group", x=(2, 12, 6, 6), w=(15, 4, 3, 3), groups=3),
]
every_case = pytest.mark.parametrize("case", CASES, ids=names(CASES))
every_type = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module")
def cpu():
    return select.get("cpu")


def run(cpu, case, direction, name, x, w, b, dy):
    """The results of one pass by one algorithm, written over poison."""
    g, dtype = case.geometry, x.dtype
    if direction == "forward":
        return (cpu.conv2d_forward(x, w, b, g, algorithm=name, out=poisoned(cpu, g.y_shape, dtype)),)
    if direction == "backward_data":
        return (cpu.conv2d_backward_data(dy, w, g, algorithm=name, out=poisoned(cpu, g.x_shape, dtype)),)
    out = poisoned(cpu, g.w_shape, dtype), poisoned(cpu, (g.OC,), dtype)
    return cpu.conv2d_backward_weight(dy, x, g, algorithm=name, out=out)


def check_all(cpu, case, rng, dtype):
    """Every exact algorithm of every pass: right, or it declines as it said it would."""
    values = [cpu.asarray(a) for a in conv_values(case, rng, dtype=dtype)]
    x, w, b, dy = values
    dx, dw, db = reference.conv2d_backward(dy, x, w, **case.options)
    wanted = {"forward": (reference.conv2d(x, w, b, **case.options),), "backward_data": (dx,)}
    wanted["backward_weight"] = dw, db
    for direction, expected in wanted.items():
        candidates = cpu.explain(case.geometry, direction)
        assert candidates[-1].declined is None, "the last one takes every geometry"
        for candidate in (c for c in candidates if not c.rounds):
            if candidate.declined and "on request" not in candidate.declined:
                with pytest.raises(UnsupportedError, match="declines"):
                    run(cpu, case, direction, candidate.name, *values)
                continue
            for actual, e in zip(run(cpu, case, direction, candidate.name, *values), expected, strict=True):
                assert_exact(actual, e, dtype)


@every_case
@every_type
def test_every_algorithm_is_exact(cpu, case, dtype, rng):
    check_all(cpu, case, rng, dtype)


@given(case=conv_cases(), seed=seeds)
def test_every_algorithm_is_exact_on_random_problems(cpu, case, seed):
    check_all(cpu, case, np.random.default_rng(seed), "float32")


@pytest.mark.parametrize("pads", [(0, 0, 0, 1), (2, 1, 3, 5)])
@every_type
def test_padded_images_have_zeros_around_them(pads, dtype, rng):
    from fastconv.kernels.cpu.pack import pad

    top, bottom, left, right = pads
    x = rng.standard_normal((3, 4, 7, 5)).astype(dtype)
    padded = np.full((3, 4 + top + bottom, 7 + left + right, 5), np.nan, dtype)
    pad(padded, x, (top, left))
    assert (padded == np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))).all()


def test_unknown_algorithms_are_refused_with_the_names(cpu, rng):
    values = [cpu.asarray(a) for a in conv_values(CASES[0], rng)]
    with pytest.raises(ArgumentError, match=r"must be one of im2col, .*tiles, direct, got 'fast'"):
        run(cpu, CASES[0], "forward", "fast", *values)


def test_a_declined_algorithm_says_why(cpu, rng):
    grouped = next(c for c in CASES if c.name == "groups")
    values = [cpu.asarray(a) for a in conv_values(grouped, rng)]
    with pytest.raises(UnsupportedError, match=r"'im2col' declines.*groups"):
        run(cpu, grouped, "forward", "im2col", *values)


def test_explain_refuses_a_direction_that_does_not_exist(cpu):
    with pytest.raises(ArgumentError, match="direction must be one of forward, backward_data, backward_weight"):
        cpu.explain(CASES[0].geometry, "sideways")


def test_relu_in_the_kernel_equals_relu_after_it(cpu, rng):
    case = CASES[2]
    x, w, b, _ = (cpu.asarray(a) for a in conv_values(case, rng))
    fused = cpu.conv2d_forward(x, w, b, case.geometry, activation="relu")
    assert (fused == np.maximum(cpu.conv2d_forward(x, w, b, case.geometry), 0)).all()


def test_a_nan_reaches_every_output_that_reads_it_and_no_other(cpu):
    case = ConvCase("nan", x=(1, 20, 7, 8), w=(33, 20, 3, 3), padding=(1, 1, 1, 1))
    x, w = cpu.zeros(case.geometry.x_shape), cpu.zeros(case.geometry.w_shape)
    x[0, 3, 4, 5] = np.nan
    y = cpu.conv2d_forward(x, w, None, case.geometry, activation="relu")
    touched = np.zeros((7, 8), bool)
    touched[3:6, 4:7] = True
    assert (np.isnan(y[0]) == touched).all()
