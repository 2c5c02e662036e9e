"""Output sizes, paddings, prices and names of convolution and pooling problems."""

import dataclasses
import itertools

import numpy as np
import pytest
import reference
from cases import CONV_CASES, POOL_CASES, names
from hypothesis import assume, given
from hypothesis import strategies as st

from fastconv.errors import ArgumentError, ShapeError
from fastconv.geometry import Conv2dGeometry, Pool2dGeometry


def conv(x=(2, 4, 9, 8), w=(6, 4, 3, 3), b=None, **options):
    return Conv2dGeometry.from_shapes(x, w, b, **options)


def pool(x=(2, 4, 9, 8), kernel=3, **options):
    return Pool2dGeometry.from_shape(x, kernel, **options)


class TestOutputSize:
    @pytest.mark.parametrize("case", CONV_CASES, ids=names(CONV_CASES))
    def test_convolution_as_counted(self, case):
        x, w = np.zeros(case.x), np.zeros(case.w)
        assert case.geometry.y_shape == reference.conv2d(x, w, **case.options).shape

    @pytest.mark.parametrize("case", POOL_CASES, ids=names(POOL_CASES))
    def test_pooling_as_counted(self, case):
        y, _ = reference.max_pool2d(np.zeros(case.x), ceil_mode=case.ceil_mode, **case.window)
        assert case.geometry.y_shape == y.shape

    @given(
        size=st.integers(1, 60), taps=st.integers(1, 9), stride=st.integers(1, 9), dilation=st.integers(1, 4),
        before=st.integers(0, 9), after=st.integers(0, 9),
    )  # fmt: skip
    def test_any_axis_as_counted(self, size, taps, stride, dilation, before, after):
        expected = reference.output_size(size, before, after, taps, stride, dilation)
        options = {"stride": (stride, 1), "padding": (before, after, 0, 0), "dilation": (dilation, 1)}
        if expected == 0:
            with pytest.raises(ShapeError, match="kernel covers"):
                conv((1, 1, size, 1), (1, 1, taps, 1), **options)
        else:
            assert expected == conv((1, 1, size, 1), (1, 1, taps, 1), **options).OH

    @given(
        size=st.integers(1, 60), taps=st.integers(1, 9), stride=st.integers(1, 9),
        before=st.integers(0, 8), after=st.integers(0, 8),
    )  # fmt: skip
    def test_any_axis_rounded_up_as_counted(self, size, taps, stride, before, after):
        assume(before < taps and after < taps and before + size + after >= taps)
        expected = reference.output_size(size, before, after, taps, stride, ceil_mode=True)
        g = pool((1, 1, 1, size), (1, taps), stride=(1, stride), padding=(0, 0, before, after), ceil_mode=True)
        assert expected == g.OW

    @given(size=st.integers(1, 200), taps=st.integers(1, 20), stride=st.integers(1, 20), dilation=st.integers(1, 4))
    def test_same_gives_the_size_over_the_stride_rounded_up(self, size, taps, stride, dilation):
        options = {"stride": (stride, 1), "dilation": (dilation, 1)}
        g = conv((1, 1, size, 1), (1, 1, taps, 1), padding="same", **options)
        assert -(-size // stride) == g.OH
        assert 0 <= g.PB - g.PH <= 1
        assert reference.same_padding(size, taps, stride, dilation) == (g.PH, g.PB)

    def test_same_of_odd_kernels_is_half_of_them(self):
        for F in (1, 3, 5, 7, 11):
            g = conv((1, 1, 20, 30), (1, 1, F, F), padding="same")
            assert (g.PH, g.PB, g.PW, g.PR) == ((F - 1) // 2,) * 4
            assert (g.OH, g.OW) == (20, 30)

    def test_ceil_mode_drops_the_window_that_starts_in_the_padding(self):
        assert pool((1, 1, 5, 5), 2, stride=3, padding=1, ceil_mode=True).OH == 2
        assert pool((1, 1, 6, 6), 3, stride=2, ceil_mode=True).OH == 3
        assert pool((1, 1, 6, 6), 3, stride=2, ceil_mode=False).OH == 2


class TestOptions:
    @pytest.mark.parametrize("as_given", [2, (2, 2), [2, 2], np.int64(2), (np.int8(2), 2), (1, 2, 2, 1)])
    def test_spellings_of_a_stride(self, as_given):
        assert conv(stride=as_given) == conv(stride=(2, 2))

    @pytest.mark.parametrize("as_given", [1, (1, 1), [1, 1, 1, 1], np.int32(1), "same"])
    def test_spellings_of_padding(self, as_given):
        assert conv(padding=as_given) == conv(padding=(1, 1, 1, 1))

    def test_valid_is_no_padding(self):
        assert conv(padding="valid") == conv(padding=0) == conv()

    def test_two_numbers_are_height_and_width(self):
        g = conv(stride=(1, 2), padding=(1, 2), dilation=(2, 1))
        assert (g.SH, g.SW, g.PH, g.PB, g.PW, g.PR, g.DH, g.DW) == (1, 2, 1, 1, 2, 2, 2, 1)

    def test_pooling_stride_is_the_kernel_unless_given(self):
        assert (pool(kernel=(3, 2)).SH, pool(kernel=(3, 2)).SW) == (3, 2)
        assert pool(kernel=3, stride=1).SH == 1

    @pytest.mark.parametrize("bad", [1.0, (1.0, 1.0), (1, 1.5), None, {1, 2}, b"1", np.array([1.0]), [[1, 1], [1, 1]]])
    @pytest.mark.parametrize("option", ["stride", "padding", "dilation"])
    def test_whole_numbers_only_even_where_an_equal_one_came_before(self, option, bad):
        conv(**{option: 1})
        with pytest.raises(ArgumentError, match=rf"conv2d: {option} must be .*\(2, 4, 9, 8\).*\(6, 4, 3, 3\)"):
            conv(**{option: bad})

    def test_groups_must_be_a_whole_number(self):
        assert conv(groups=1).G == 1
        with pytest.raises(ArgumentError, match="groups must be made of whole numbers"):
            conv(groups=1.0)

    def test_strict_refuses_what_the_stride_leaves_over(self):
        assert conv((1, 1, 7, 7), (1, 1, 3, 3), stride=2, strict=True).OH == 3
        with pytest.raises(ShapeError, match="stride leaves 1 over along W"):
            conv((1, 1, 7, 8), (1, 1, 3, 3), stride=2, strict=True)
        with pytest.raises(ShapeError, match="stride leaves 1 over along H"):
            pool((1, 1, 8, 7), 3, stride=2, strict=True)


class TestIdentity:
    def test_equal_problems_are_one_key(self):
        assert conv() == conv()
        assert hash(conv()) == hash(conv())
        assert len({conv(), conv(stride=1), conv(stride=2), pool(), pool(stride=3)}) == 3

    def test_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            conv().N = 3

    def test_built_by_keyword_equals_built_from_shapes(self):
        g = Conv2dGeometry(N=2, C=4, H=9, W=8, OC=6, KH=3, KW=3, SH=2, SW=2, PH=1, PB=1, PW=1, PR=1)
        assert g == conv(stride=2, padding=1)
        assert Pool2dGeometry(N=2, C=4, H=9, W=8, KH=3, KW=3, SH=3, SW=3) == pool()

    def test_no_sizes_by_position(self):
        with pytest.raises(TypeError):
            Conv2dGeometry(2, 4, 9, 8)

    def test_name_in_benchmarks(self):
        assert conv((100, 1, 28, 28), (30, 1, 5, 5)).name == "mb100_ic1ih28_oc30_kh5"
        assert pool((100, 30, 24, 24), 2).name == "mb100_ic30ih24_kh2sh2"

    def test_different_problems_have_different_names(self):
        values = {"stride": (1, 2, (1, 2)), "padding": (0, 1, (0, 1, 1, 0)), "dilation": (1, 2), "groups": (1, 2)}
        problems = [
            conv((2, 4, 9, 8), (6, 4 // options[-1], 3, 3), **dict(zip(values, options, strict=True)))
            for options in itertools.product(*values.values())
        ]
        assert len({g.name for g in problems}) == len(problems)

    def test_text_names_every_size(self):
        text = str(conv(stride=(1, 2), padding=(1, 2, 3, 4), dilation=2))
        for part in ("(2, 4, 9, 8)", "(6, 4, 3, 3)", "(1, 2)", "top 1 bottom 2 left 3 right 4", "(2, 2)", "groups=1"):
            assert part in text


class TestPrice:
    @pytest.mark.parametrize("case", CONV_CASES[:12], ids=names(CONV_CASES[:12]))
    def test_multiplications_as_counted(self, case):
        """With ones everywhere and zeros nowhere, each output is its number of multiplications (padding included)."""
        g = case.geometry
        padded = np.ones((g.N, g.C, g.H + g.PH + g.PB, g.W + g.PW + g.PR))
        y = reference.conv2d(padded, np.ones(case.w), None, case.stride, (0, 0, 0, 0), case.dilation, case.groups)
        assert g.multiplications == y.sum()
        assert g.flops == 2 * g.multiplications

    def test_bytes_are_those_of_x_w_and_y(self):
        g = conv(stride=2)
        sizes = [np.zeros(shape).size for shape in (g.x_shape, g.w_shape, g.y_shape)]
        assert g.bytes() == 4 * sum(sizes)
        assert g.bytes(8) == 8 * sum(sizes)
        p = pool()
        assert p.bytes() == 4 * (np.zeros(p.x_shape).size + np.zeros(p.y_shape).size)

    def test_position_in_a_window_takes_one_byte_where_it_fits(self):
        assert pool((1, 1, 20, 20), (16, 16)).argmax_dtype == "uint8"
        assert pool((1, 1, 20, 20), (16, 17)).argmax_dtype == "int32"
        assert pool((1, 1, 20, 20), (3, 2)).taps == 6


class TestImpossible:
    """Every refusal names the operation and the sizes."""

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"x": (4, 9, 8)}, ShapeError, r"x and w must have 4 axes, x has 3 and w has 4"),
            ({"w": (6, 4, 3)}, ShapeError, r"x and w must have 4 axes, x has 4 and w has 3"),
            ({"x": (2, 3, 9, 8)}, ShapeError, r"w expects 4 input channels, x has 3"),
            ({"w": (6, 2, 3, 3)}, ShapeError, r"w expects 2 input channels, x has 4"),
            ({"groups": 2}, ShapeError, r"w expects 8 input channels, x has 4"),
            ({"w": (6, 1, 3, 3), "groups": 4}, ShapeError, r"groups=4 must divide both the 4 input and 6 output"),
            ({"w": (1, 2, 3, 3), "groups": 2}, ShapeError, r"groups=2 must divide"),
            ({"groups": 0}, ArgumentError, r"groups must be at least 1, got 0"),
            ({"groups": -1}, ArgumentError, r"groups must be at least 1, got -1"),
            ({"b": (5,)}, ShapeError, r"b must have shape \(6,\), one bias per output channel, got \(5,\)"),
            ({"b": (6, 1)}, ShapeError, r"b must have shape \(6,\)"),
            ({"stride": 0}, ArgumentError, r"stride and dilation must be at least 1, got \(0, 0\)"),
            ({"stride": (1, -1)}, ArgumentError, r"got \(1, -1\)"),
            ({"dilation": 0}, ArgumentError, r"stride and dilation must be at least 1"),
            ({"dilation": -1}, ArgumentError, r"stride and dilation must be at least 1"),
            ({"padding": -1}, ArgumentError, r"padding must not be negative, PH=-1"),
            ({"padding": (0, 0, 0, -2)}, ArgumentError, r"padding must not be negative, PR=-2"),
            ({"padding": (1, 2, 3)}, ArgumentError, r"padding must be"),
            ({"padding": "full"}, ArgumentError, r"padding must be .*'same' or 'valid', got 'full'"),
            ({"stride": "same"}, ArgumentError, r"stride must be"),
            ({"stride": (1, 2, 3)}, ArgumentError, r"stride must be"),
            ({"stride": (2, 1, 1, 1)}, ArgumentError, r"strides over batch and channels must be 1"),
            ({"x": (2, 4, 2, 8)}, ShapeError, r"kernel covers 3 along H but the padded input has 2"),
            ({"dilation": (1, 4)}, ShapeError, r"kernel covers 9 along W but the padded input has 8"),
            ({"x": (0, 4, 9, 8)}, ShapeError, r"N must be at least 1, got 0 \(an empty batch"),
            ({"x": (2, 4, 0, 8)}, ShapeError, r"H must be at least 1, got 0"),
            ({"x": (2, 0, 9, 8), "w": (6, 0, 3, 3)}, ShapeError, r"C must be at least 1"),
            ({"w": (0, 4, 3, 3)}, ShapeError, r"OC must be at least 1"),
            ({"w": (6, 4, 0, 3)}, ShapeError, r"kernel must be at least 1 x 1, got \(0, 3\)"),
            ({"padding": 2**31}, ShapeError, r"reaches 2\^31"),
            ({"dilation": 2**31 - 1, "padding": 2**31 - 1}, ShapeError, r"reaches 2\^31"),
            ({"padding": 2**29}, ShapeError, r"too large"),
            ({"x": (2**31, 4, 9, 8)}, ShapeError, r"too large"),
            ({"x": (2**20, 4, 2**20, 2**20)}, ShapeError, r"too large"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )  # fmt: skip
    def test_convolution(self, options, error, message):
        options = dict(options)
        x, w = options.pop("x", (2, 4, 9, 8)), options.pop("w", (6, 4, 3, 3))
        with pytest.raises(error, match=message) as raised:
            conv(x, w, **options)
        text = str(raised.value)
        assert text.startswith("conv2d: ")
        assert str(x) in text
        assert str(w) in text

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"x": (4, 9, 8)}, ShapeError, r"x must have 4 axes, it has 3"),
            ({"kernel": 0}, ShapeError, r"kernel must be at least 1 x 1, got \(0, 0\)"),
            ({"kernel": (2, 2, 2)}, ArgumentError, r"kernel must be"),
            ({"kernel": 2.0}, ArgumentError, r"kernel must be made of whole numbers"),
            ({"stride": 0}, ArgumentError, r"stride and dilation must be at least 1"),
            ({"stride": -1}, ArgumentError, r"stride and dilation must be at least 1"),
            ({"padding": -1}, ArgumentError, r"padding must not be negative"),
            ({"padding": 3}, ArgumentError, r"a window along H would lie in the padding only"),
            ({"padding": (0, 0, 3, 0)}, ArgumentError, r"a window along W would lie in the padding only"),
            ({"padding": (0, 3, 0, 0), "stride": 1}, ArgumentError, r"a window along H would lie in the padding only"),
            ({"kernel": (10, 1)}, ShapeError, r"kernel covers 10 along H but the padded input has 9"),
            ({"x": (0, 4, 9, 8)}, ShapeError, r"empty batch"),
            ({"x": (2, 4, 9, 0)}, ShapeError, r"W must be at least 1"),
            ({"x": (2, 0, 9, 8)}, ShapeError, r"C must be at least 1"),
            ({"x": (2**21, 2**21, 2**21, 4)}, ShapeError, r"too large"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )  # fmt: skip
    def test_pooling(self, options, error, message):
        options = dict(options)
        x = options.pop("x", (2, 4, 9, 8))
        with pytest.raises(error, match=message) as raised:
            pool(x, **options)
        assert str(raised.value).startswith("pool2d: ")
        assert str(x) in str(raised.value)

    def test_a_dilated_window_that_steps_over_the_input_is_refused(self):
        with pytest.raises(ArgumentError, match="padding only"):
            pool((1, 1, 1, 1), 2, stride=1, padding=1, dilation=2)
        assert pool((1, 1, 2, 2), 2, stride=1, padding=1, dilation=2).OH == 2

    @given(
        size=st.integers(1, 8), taps=st.integers(1, 4), stride=st.integers(1, 4), dilation=st.integers(1, 4),
        before=st.integers(0, 6), after=st.integers(0, 6), ceil_mode=st.booleans(),
    )  # fmt: skip
    def test_accepted_exactly_where_every_window_meets_the_input(
        self, size, taps, stride, dilation, before, after, ceil_mode
    ):
        assume(reference.output_size(size, before, after, taps, stride, dilation) > 0)
        starts = reference.window_starts(size, before, after, taps, stride, dilation, ceil_mode)
        meets = all(any(0 <= s + t * dilation - before < size for t in range(taps)) for s in starts)
        options = {
            "stride": (stride, 1), "padding": (before, after, 0, 0), "dilation": (dilation, 1), "ceil_mode": ceil_mode,
        }  # fmt: skip
        if meets:
            assert len(starts) == pool((1, 1, size, 1), (taps, 1), **options).OH
        else:
            with pytest.raises(ArgumentError, match="padding only"):
                pool((1, 1, size, 1), (taps, 1), **options)

    @pytest.mark.timeout(5)
    def test_refusing_takes_no_longer_for_large_maps(self):
        with pytest.raises(ArgumentError, match="padding only"):
            pool((1, 1, 2**28, 1), (2, 1), stride=1, padding=(4, 4, 0, 0), dilation=(3, 1))
        assert pool((1, 1, 2**28, 1), (2, 1), stride=1, padding=(1, 1, 0, 0), dilation=(3, 1)).OH == 2**28 - 1
