"""Problems to try every backend on: chosen edge cases, and hypothesis strategies for random ones."""

import math
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st
from reference import NO_PADDING, same_padding

from fastconv.geometry import Conv2dGeometry, Pool2dGeometry


@dataclass(frozen=True)
class ConvCase:
    """One convolution; padding is (top, bottom, left, right) or 'same'."""

    name: str
    x: tuple
    w: tuple
    stride: tuple = (1, 1)
    padding: tuple | str = NO_PADDING
    dilation: tuple = (1, 1)
    groups: int = 1

    @cached_property
    def geometry(self):
        return Conv2dGeometry.from_shapes(
            self.x, self.w, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )

    @cached_property
    def window(self):
        """stride, padding and dilation as the witness takes them."""
        padding = self.padding
        if padding == "same":
            rows, columns = (
                same_padding(self.x[i], self.w[i], self.stride[i - 2], self.dilation[i - 2]) for i in (2, 3)
            )
            padding = (*rows, *columns)
        return {"stride": self.stride, "padding": padding, "dilation": self.dilation}

    @cached_property
    def options(self):
        """The witness's arguments after x, w and b."""
        return {**self.window, "groups": self.groups}


@dataclass(frozen=True)
class PoolCase:
    """One pooling; padding is (top, bottom, left, right)."""

    name: str
    x: tuple
    kernel: tuple
    stride: tuple
    padding: tuple = NO_PADDING
    dilation: tuple = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True

    @cached_property
    def geometry(self):
        return Pool2dGeometry.from_shape(
            self.x, self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation,
            ceil_mode=self.ceil_mode, count_include_pad=self.count_include_pad,
        )  # fmt: skip

    @cached_property
    def window(self):
        return {"kernel": self.kernel, "stride": self.stride, "padding": self.padding, "dilation": self.dilation}


@dataclass(frozen=True)
class FusedCase:
    """A convolution and the pooling of its result."""

    conv: ConvCase
    kernel: tuple
    stride: tuple
    padding: tuple = (0, 0, 0, 0)
    ceil_mode: bool = False

    @property
    def pool(self):
        return Pool2dGeometry.from_shape(
            self.conv.geometry.y_shape, self.kernel, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )

    @property
    def window(self):
        return {"kernel": self.kernel, "stride": self.stride, "padding": self.padding}


CONV_CASES = [
    ConvCase("one_pixel", x=(1, 1, 1, 1), w=(1, 1, 1, 1)),
    ConvCase("one_pixel_in_padding", x=(1, 2, 1, 1), w=(3, 2, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("kernel_is_the_image", x=(2, 3, 5, 5), w=(4, 3, 5, 5)),
    ConvCase("padding_k_minus_1", x=(1, 2, 4, 5), w=(3, 2, 3, 3), padding=(2, 2, 2, 2)),
    ConvCase("padding_beyond_kernel", x=(1, 1, 2, 2), w=(2, 1, 2, 2), padding=(3, 3, 3, 3)),
    ConvCase("padding_on_four_sides", x=(2, 3, 5, 6), w=(4, 3, 3, 2), stride=(2, 1), padding=(0, 2, 1, 3)),
    ConvCase("stride_beyond_kernel", x=(1, 2, 9, 10), w=(3, 2, 2, 2), stride=(4, 5)),
    ConvCase("stride_2_leaves_over", x=(2, 3, 8, 9), w=(5, 3, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1)),
    ConvCase("all_oblong", x=(3, 2, 7, 11), w=(5, 2, 3, 4), stride=(1, 2), padding=(2, 1, 0, 3), dilation=(2, 1)),
    ConvCase("same", x=(1, 3, 7, 6), w=(2, 3, 3, 3), padding="same"),
    ConvCase("same_even_kernel", x=(1, 2, 5, 5), w=(3, 2, 2, 4), padding="same"),
    ConvCase("same_stride_5", x=(1, 1, 13, 13), w=(2, 1, 6, 6), stride=(5, 5), padding="same"),
    ConvCase("same_dilated", x=(1, 2, 9, 8), w=(3, 2, 3, 3), stride=(2, 3), padding="same", dilation=(2, 2)),
    ConvCase("dilated", x=(2, 3, 9, 10), w=(4, 3, 3, 3), padding=(2, 2, 2, 2), dilation=(2, 2)),
    ConvCase("dilated_strided", x=(1, 2, 11, 12), w=(3, 2, 3, 2), stride=(2, 3), padding=(1, 1, 1, 1), dilation=(3, 4)),
    ConvCase("groups_2", x=(2, 4, 6, 6), w=(6, 2, 3, 3), padding=(1, 1, 1, 1), groups=2),
    ConvCase("groups_3_strided", x=(1, 9, 7, 6), w=(6, 3, 3, 3), stride=(2, 2), groups=3),
    ConvCase("depthwise", x=(2, 5, 7, 7), w=(5, 1, 3, 3), padding=(1, 1, 1, 1), groups=5),
    ConvCase("depthwise_16", x=(1, 16, 6, 5), w=(16, 1, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1), groups=16),
    ConvCase("depthwise_multiplier", x=(1, 3, 6, 6), w=(6, 1, 3, 3), padding=(1, 1, 1, 1), groups=3),
    ConvCase("grouped_dilated", x=(1, 4, 8, 8), w=(4, 2, 3, 3), padding=(2, 2, 2, 2), dilation=(2, 2), groups=2),
    ConvCase("pointwise", x=(2, 7, 5, 6), w=(9, 7, 1, 1)),
    ConvCase("pointwise_strided", x=(2, 8, 5, 6), w=(16, 8, 1, 1), stride=(2, 2)),
    ConvCase("pointwise_padded", x=(1, 3, 3, 3), w=(4, 3, 1, 1), padding=(1, 0, 0, 1)),
    ConvCase("wide_map", x=(1, 2, 3, 70), w=(3, 2, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("narrow_map", x=(1, 2, 70, 3), w=(3, 2, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("one_row_kernel", x=(1, 3, 4, 20), w=(4, 3, 1, 7), padding=(0, 0, 3, 3)),
    ConvCase("one_column_kernel", x=(1, 3, 20, 4), w=(4, 3, 7, 1), padding=(3, 3, 0, 0)),
    ConvCase("lectures_conv1", x=(3, 1, 28, 28), w=(30, 1, 5, 5)),
    ConvCase("lenet_conv2", x=(2, 6, 14, 14), w=(16, 6, 5, 5)),
    ConvCase("rgb_stem", x=(1, 3, 23, 23), w=(16, 3, 7, 7), stride=(4, 4), padding=(2, 2, 2, 2)),
    ConvCase("vgg_block", x=(1, 16, 9, 9), w=(32, 16, 3, 3), padding=(1, 1, 1, 1)),
    *(
        ConvCase(f"channels_{c}_to_{oc}", x=(1, c, 5, 6), w=(oc, c, 3, 3), padding=(1, 1, 1, 1))
        for c, oc in [(1, 4), (3, 5), (4, 8), (5, 7), (8, 16), (9, 15), (16, 17), (17, 31), (31, 33), (32, 48)]
    ),
]

POOL_CASES = [
    PoolCase("one_pixel", x=(1, 1, 1, 1), kernel=(1, 1), stride=(1, 1)),
    PoolCase("lectures", x=(3, 30, 24, 24), kernel=(2, 2), stride=(2, 2)),
    PoolCase("lectures_odd_map", x=(2, 6, 7, 9), kernel=(2, 2), stride=(2, 2)),
    PoolCase("alexnet_overlapping", x=(2, 5, 13, 13), kernel=(3, 3), stride=(2, 2)),
    PoolCase("overlapping_padded", x=(1, 8, 8, 8), kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)),
    PoolCase("stride_1", x=(2, 3, 6, 5), kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)),
    PoolCase("oblong", x=(2, 3, 9, 7), kernel=(3, 2), stride=(2, 1), padding=(1, 0, 0, 1)),
    PoolCase("stride_beyond_kernel", x=(1, 4, 11, 10), kernel=(2, 2), stride=(4, 3)),
    PoolCase("padding_k_minus_1", x=(1, 2, 4, 5), kernel=(3, 3), stride=(1, 1), padding=(2, 2, 2, 2)),
    PoolCase("padding_on_four_sides", x=(1, 3, 6, 7), kernel=(3, 4), stride=(2, 2), padding=(0, 2, 3, 1)),
    PoolCase("global", x=(2, 7, 5, 6), kernel=(5, 6), stride=(1, 1)),
    PoolCase("global_20x20", x=(1, 3, 20, 20), kernel=(20, 20), stride=(20, 20)),
    PoolCase("ceil", x=(2, 3, 6, 7), kernel=(3, 3), stride=(2, 2), ceil_mode=True),
    PoolCase(
        "ceil_window_starts_in_padding",
        x=(1, 2, 5, 5),
        kernel=(2, 2),
        stride=(3, 3),
        padding=(1, 1, 1, 1),
        ceil_mode=True,
    ),
    PoolCase("ceil_side_by_side", x=(2, 5, 7, 9), kernel=(2, 2), stride=(2, 2), ceil_mode=True),
    PoolCase("ceil_one_over", x=(1, 17, 3, 3), kernel=(2, 2), stride=(2, 2), ceil_mode=True),
    PoolCase("ceil_padded", x=(1, 2, 6, 8), kernel=(3, 3), stride=(3, 2), padding=(1, 1, 1, 1), ceil_mode=True),
    PoolCase(
        "ceil_no_pad_counted",
        x=(1, 2, 6, 8),
        kernel=(3, 3),
        stride=(3, 2),
        padding=(1, 1, 1, 1),
        ceil_mode=True,
        count_include_pad=False,
    ),
    PoolCase(
        "no_pad_counted", x=(1, 3, 6, 6), kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1), count_include_pad=False
    ),
    PoolCase("dilated", x=(1, 3, 9, 8), kernel=(3, 2), stride=(1, 2), padding=(1, 1, 1, 1), dilation=(2, 3)),
    PoolCase("dilated_ceil", x=(1, 2, 10, 9), kernel=(2, 3), stride=(2, 2), dilation=(3, 2), ceil_mode=True),
    PoolCase("wide_map", x=(1, 3, 3, 70), kernel=(2, 2), stride=(1, 1)),
    PoolCase("narrow_map", x=(1, 3, 70, 3), kernel=(2, 2), stride=(1, 1)),
    *(
        PoolCase(f"channels_{c}", x=(1, c, 5, 6), kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
        for c in (4, 7, 8, 9, 15, 16, 17, 31, 32, 33)
    ),
]

SIDE_BY_SIDE = {"kernel": (2, 2), "stride": (2, 2)}
FUSED_CASES = [
    FusedCase(ConvCase("lectures", x=(2, 1, 16, 16), w=(30, 1, 5, 5)), **SIDE_BY_SIDE),
    FusedCase(ConvCase("lenet_c1", x=(1, 1, 14, 14), w=(6, 1, 5, 5), padding=(2, 2, 2, 2)), **SIDE_BY_SIDE),
    FusedCase(ConvCase("lenet_c3", x=(2, 6, 14, 14), w=(16, 6, 5, 5)), **SIDE_BY_SIDE),
    FusedCase(ConvCase("odd_map", x=(2, 3, 9, 8), w=(5, 3, 3, 3)), **SIDE_BY_SIDE),
    FusedCase(ConvCase("vgg", x=(1, 17, 8, 8), w=(33, 17, 3, 3), padding=(1, 1, 1, 1)), **SIDE_BY_SIDE),
    FusedCase(ConvCase("one_window", x=(1, 2, 4, 4), w=(3, 2, 3, 3)), **SIDE_BY_SIDE),
    FusedCase(
        ConvCase("strided", x=(2, 3, 13, 12), w=(8, 3, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1)), **SIDE_BY_SIDE
    ),
    FusedCase(ConvCase("grouped", x=(2, 4, 8, 8), w=(6, 2, 3, 3), padding=(1, 1, 1, 1), groups=2), **SIDE_BY_SIDE),
    FusedCase(ConvCase("dilated", x=(1, 3, 10, 9), w=(4, 3, 3, 3), dilation=(2, 2)), **SIDE_BY_SIDE),
    FusedCase(ConvCase("overlapping", x=(1, 3, 11, 11), w=(7, 3, 3, 3)), kernel=(3, 3), stride=(2, 2)),
    FusedCase(ConvCase("padded", x=(1, 3, 9, 8), w=(4, 3, 2, 3)), kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)),
    FusedCase(ConvCase("ceil", x=(1, 3, 9, 9), w=(4, 3, 3, 3)), kernel=(2, 2), stride=(2, 2), ceil_mode=True),
    FusedCase(ConvCase("oblong", x=(2, 2, 6, 40), w=(3, 2, 1, 3)), kernel=(1, 2), stride=(1, 2)),
    FusedCase(ConvCase("global", x=(2, 3, 7, 6), w=(9, 3, 3, 3)), kernel=(5, 4), stride=(5, 4)),
]


def names(cases):
    return [case.name for case in cases]


# Random problems ------------------------------------------------------------------------------------------------------


def _window_axis(draw, max_taps, max_padding):
    """taps, stride, dilation, before, after, size of one axis, with at least one window."""
    taps, stride, dilation = (draw(st.integers(1, top)) for top in (max_taps, 3, 2))
    before, after = draw(st.integers(0, max_padding)), draw(st.integers(0, max_padding))
    smallest = max(1, (taps - 1) * dilation + 1 - before - after)
    return taps, stride, dilation, before, after, smallest + draw(st.integers(0, 5))


@st.composite
def conv_cases(draw):
    """Any small convolution that has an output."""
    (KH, SH, DH, PH, PB, H), (KW, SW, DW, PW, PR, W) = (_window_axis(draw, 4, 3) for _ in "HW")
    G = draw(st.sampled_from((1, 1, 1, 2, 3)))
    N, CG, OCG = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    return ConvCase(
        "random", x=(N, G * CG, H, W), w=(G * OCG, CG, KH, KW), stride=(SH, SW), padding=(PH, PB, PW, PR),
        dilation=(DH, DW), groups=G,
    )  # fmt: skip


@st.composite
def pool_cases(draw):
    """Any small pooling whose every window meets the input."""
    axes = []
    for _ in "HW":
        taps, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        before, after = draw(st.integers(0, taps - 1)), draw(st.integers(0, taps - 1))
        axes.append((taps, stride, before, after, taps + draw(st.integers(0, 6))))
    (KH, SH, PH, PB, H), (KW, SW, PW, PR, W) = axes
    return PoolCase(
        "random", x=(draw(st.integers(1, 2)), draw(st.integers(1, 9)), H, W), kernel=(KH, KW), stride=(SH, SW),
        padding=(PH, PB, PW, PR), ceil_mode=draw(st.booleans()), count_include_pad=draw(st.booleans()),
    )  # fmt: skip


seeds = st.integers(0, 2**32 - 1)


# Values ---------------------------------------------------------------------------------------------------------------


def whole_numbers(rng, shape, dtype="float32", top=8):
    """Whole numbers from -top to top: sums of up to 2^24 / top^2 products are exact in float32 in any order, so that
    results can be compared with == (the method of oneDNN's benchdnn)."""
    return rng.integers(-top, top + 1, shape).astype(dtype)


def floats(rng, shape, dtype="float32"):
    return rng.standard_normal(shape).astype(dtype)


def conv_values(case, rng, draw=whole_numbers, dtype="float32"):
    """x, w, b and dy for a ConvCase."""
    g = case.geometry
    return tuple(draw(rng, shape, dtype) for shape in (g.x_shape, g.w_shape, (g.OC,), g.y_shape))


def distinct(rng, shape, dtype="float32"):
    """Every value once, in random order: the place of each maximum is beyond doubt."""
    size = math.prod(shape)
    return (rng.permutation(size).reshape(shape) - size // 2).astype(dtype)
