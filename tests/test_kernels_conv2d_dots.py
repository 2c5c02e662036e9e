"""Convolution of few pixels with filters read where they lie, against the reference."""

import numpy as np
import pytest
import reference
from cases import ConvCase, conv_values, floats
from checks import assert_exact, poisoned

from fastconv import get_threads, set_threads
from fastconv.backends import select
from fastconv.errors import UnsupportedError

if select.available()["cpu"] != "ready":
    pytest.skip("there is no cpu backend", allow_module_level=True)

from fastconv.backends.cpu.conv2d_dots import FEW_PIXELS

CPU = select.get("cpu")

CASES = [
    ConvCase("lenet_c3_of_the_lectures", x=(1, 32, 14, 14), w=(64, 32, 5, 5)),
    ConvCase("keras_conv4", x=(1, 128, 7, 7), w=(256, 128, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("two_images", x=(2, 40, 5, 6), w=(7, 40, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("stride", x=(2, 33, 9, 8), w=(5, 33, 3, 3), stride=(2, 3), padding=(1, 0, 2, 1)),
    ConvCase("dilated_rows", x=(1, 64, 8, 6), w=(6, 64, 3, 3), padding=(2, 2, 2, 2), dilation=(2, 1)),
    ConvCase("no_whole_vector", x=(1, 29, 4, 4), w=(11, 29, 3, 3)),
    ConvCase("one_pixel_one_filter", x=(1, 32, 3, 3), w=(1, 32, 3, 3)),
    ConvCase("one_tap", x=(3, 300, 3, 3), w=(9, 300, 1, 1)),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def run(x, w, b, g, **options):
    return CPU.conv2d_forward(*(CPU.asarray(a) for a in (x, w, b)), g, algorithm="dots", **options)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_numbers_are_exact(case, dtype, rng):
    x, w, b, _ = conv_values(case, rng, dtype=dtype)
    expected = reference.conv2d(x, w, b, **case.options)
    assert_exact(run(x, w, b, case.geometry), expected, dtype)
    out = poisoned(CPU, expected.shape, dtype)
    run(x, w, b, case.geometry, activation="relu", out=out)
    assert_exact(out, np.maximum(expected, 0), dtype)


@every_case
def test_it_is_chosen(case):
    assert next(c.name for c in CPU.explain(case.geometry) if not c.declined) == "dots"


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (ConvCase("groups", x=(1, 64, 4, 4), w=(4, 32, 3, 3), groups=2), "groups"),
        (ConvCase("dilation", x=(1, 64, 8, 8), w=(4, 64, 3, 3), dilation=2), "dilation"),
        (ConvCase("shallow", x=(1, 4, 4, 4), w=(4, 4, 3, 3)), "36 elements"),
        (ConvCase("many_pixels", x=(FEW_PIXELS + 1, 256, 1, 1), w=(4, 256, 1, 1)), "pay for packing"),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_what_it_declines(case, reason, rng):
    x, w, b, _ = conv_values(case, rng)
    with pytest.raises(UnsupportedError, match=reason):
        run(x, w, b, case.geometry)


def test_same_bits_for_any_number_of_threads(rng):
    g = CASES[1].geometry
    x, w, b = (floats(rng, shape) for shape in (g.x_shape, g.w_shape, (g.OC,)))
    before, results = get_threads(), []
    try:
        for threads in (1, 2, 3):
            set_threads(min(threads, before))
            results.append(run(x, w, b, g))
    finally:
        set_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_stay_where_they_belong(value, rng):
    case = CASES[0]
    x, w, b, _ = conv_values(case, rng)
    x[0, 3, 0, 0] = value
    y = run(x, w, b, case.geometry, activation="relu")
    assert np.isfinite(y[0, :, 1:]).all()
    assert np.isfinite(y[0, :, :, 1:]).all()
    met = w[:, 3, 0, 0]
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(y[0, met != 0, 0, 0], np.maximum(value * met[met != 0], 0))
