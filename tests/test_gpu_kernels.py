"""Every algorithm of the GPU, on the emulated one and on a real one where it is: exact on whole numbers.

What single kernels do at their edges is checked on the emulated GPU, in test_kernels_cuda_*.py; sizes that only a real
one computes in no time are checked on that one, against its own strict float32.
"""

import numpy as np
import pytest
import reference
from cases import ConvCase, conv_values, floats, names, whole_numbers
from checks import assert_exact

from fastconv.backends.base import Run
from fastconv.backends.gpu.linear_mma import NUMBERS
from fastconv.backends.precision import PRECISIONS, chosen
from fastconv.errors import UnsupportedError

DIRECTIONS = ("forward", "backward_data", "backward_weight")
ODD = ConvCase("odd", x=(2, 48, 7, 8), w=(40, 24, 3, 2), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2)
FOURS = ConvCase("fours", x=(2, 36, 9, 7), w=(68, 36, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
DEPTHWISE = ConvCase("depthwise", x=(2, 6, 9, 11), w=(12, 1, 3, 5), stride=(1, 2), padding=(1, 1, 2, 0), groups=6)
ONE_TAP = ConvCase("one_tap", x=(2, 20, 5, 6), w=(33, 20, 1, 1))
CASES = [ODD, FOURS, DEPTHWISE, ONE_TAP]
LAYERS = [
    ConvCase("vgg", x=(16, 64, 56, 56), w=(128, 64, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("stem", x=(16, 3, 224, 224), w=(64, 3, 7, 7), stride=(2, 2), padding=(3, 3, 3, 3)),
    ConvCase("down", x=(16, 256, 28, 28), w=(512, 256, 1, 1), stride=(2, 2)),
    ConvCase("deep", x=(32, 512, 7, 7), w=(512, 512, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("grouped", x=(16, 128, 28, 28), w=(128, 4, 3, 3), padding=(1, 1, 1, 1), groups=32),
    ConvCase("depthwise", x=(16, 144, 56, 56), w=(144, 1, 3, 3), padding=(1, 1, 1, 1), groups=144),
]
ROUNDING = {"tf32x3": 1e-5, "tf32": 2e-3, "float16": 2e-3, "bfloat16": 2e-2}  # of the largest value


def able(backend, g):
    """The algorithms that serve all three passes, on request too."""
    found = [
        {c.name for c in backend.explain(g, direction) if c.declined is None or "request" in c.declined}
        for direction in DIRECTIONS
    ]
    return sorted(set.intersection(*found))


def computed(backend, case, values, algorithm=None):
    """y, dx, dw and db as NumPy arrays."""
    g, (x, w, b, dy) = case.geometry, values
    y = backend.conv2d_forward(x, w, b, g, algorithm=algorithm)
    dx = backend.conv2d_backward_data(dy, w, g, algorithm=algorithm)
    return [backend.to_numpy(a) for a in (y, dx, *backend.conv2d_backward_weight(dy, x, g, algorithm=algorithm))]


def shifted(backend, a):
    """`a` on the device from the second element of its memory on: no access of 8 or 16 bytes is aligned."""
    lying = a.transpose(0, 2, 3, 1) if a.ndim == 4 else a
    flat = backend.empty((a.size + 1,), a.dtype)
    flat[1:] = backend.asarray(np.ascontiguousarray(lying).reshape(-1))
    moved = flat[1:].reshape(lying.shape)
    return moved.transpose(0, 3, 1, 2) if a.ndim == 4 else moved


@pytest.mark.parametrize("place", ["aligned", "shifted"])
@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_every_algorithm_is_exact(gpu_backend, case, place, rng):
    values = conv_values(case, rng)
    x, w, b, dy = values
    wanted = (reference.conv2d(x, w, b, **case.options), *reference.conv2d_backward(dy, x, w, **case.options))
    given = [gpu_backend.asarray(a) if place == "aligned" else shifted(gpu_backend, a) for a in values]
    for algorithm in able(gpu_backend, case.geometry):
        for actual, expected in zip(computed(gpu_backend, case, given, algorithm), wanted, strict=True):
            assert_exact(actual, expected, "float32")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("M", "K", "N"), [(5, 9, 17), (70, 68, 132), (16, 900, 8)])
def test_products_are_exact(gpu_backend, precision, M, K, N, rng):
    if gpu_backend.declines_precision(precision):
        pytest.skip(gpu_backend.declines_precision(precision))
    a, b = whole_numbers(rng, (M, K)), whole_numbers(rng, (K, N))
    token = chosen.set(precision)
    try:
        for trans_a in (False, True):
            for trans_b in (False, True):
                left, right = (gpu_backend.asarray(m.T.copy() if t else m) for m, t in ((a, trans_a), (b, trans_b)))
                c = gpu_backend.matmul(left, right, trans_a=trans_a, trans_b=trans_b)
                assert_exact(gpu_backend.to_numpy(c), reference.matmul(a, b), "float32")
    finally:
        chosen.reset(token)


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_a_captured_pass_computes_with_the_values_of_its_launch(gpu_backend, case, rng):
    g = case.geometry
    x, w, b, dy = given = [gpu_backend.asarray(a) for a in conv_values(case, rng)]
    outputs = [gpu_backend.empty(shape) for shape in (g.y_shape, g.x_shape, g.w_shape, (g.OC,))]

    def step(algorithm):
        gpu_backend.conv2d_forward(x, w, b, g, algorithm=algorithm, out=outputs[0])
        gpu_backend.conv2d_backward_data(dy, w, g, algorithm=algorithm, out=outputs[1])
        gpu_backend.conv2d_backward_weight(dy, x, g, algorithm=algorithm, out=(outputs[2], outputs[3]))

    for algorithm in able(gpu_backend, g):
        step(algorithm)
        launch = gpu_backend._device.capture([Run(lambda name=algorithm: step(name))])
        fresh = conv_values(case, rng)
        for a, new in zip(given, fresh, strict=True):
            a[...] = gpu_backend.asarray(new)
        launch()
        new_x, new_w, new_b, new_dy = fresh
        wanted = [reference.conv2d(new_x, new_w, new_b, **case.options)]
        wanted += reference.conv2d_backward(new_dy, new_x, new_w, **case.options)
        for actual, expected in zip(outputs, wanted, strict=True):
            assert_exact(gpu_backend.to_numpy(actual), expected, "float32")


@pytest.mark.parametrize("case", LAYERS, ids=names(LAYERS))
def test_layers_of_real_networks_agree(gpu_backend, case, rng):
    """Tiles in parts, many blocks, all the shared memory: whole numbers exactly, others beside strict float32."""
    if gpu_backend.name != "gpu":
        pytest.skip("takes minutes on the emulated GPU")
    whole = [gpu_backend.asarray(a) for a in conv_values(case, rng)]
    values = [gpu_backend.asarray(a) for a in conv_values(case, rng, floats)]
    strict, exact = computed(gpu_backend, case, values), computed(gpu_backend, case, whole)
    for algorithm in able(gpu_backend, case.geometry):
        for actual, expected in zip(computed(gpu_backend, case, whole, algorithm), exact, strict=True):
            np.testing.assert_array_equal(actual, expected, err_msg=algorithm)
        bound = ROUNDING.get(algorithm, 1e-5)
        for actual, expected in zip(computed(gpu_backend, case, values, algorithm), strict, strict=True):
            difference = np.abs(actual - expected).max() / np.abs(expected).max()
            assert difference <= bound, (algorithm, difference)


def test_the_algorithms_are_all_met(gpu_backend):
    met = {algorithm for case in CASES for algorithm in able(gpu_backend, case.geometry)}
    units = set() if gpu_backend.declines_precision("tf32") else set(NUMBERS)
    assert met >= {"im2col", "depthwise", "pointwise", "implicit_gemm", *units}


def test_an_algorithm_that_a_gpu_lacks_is_refused(gpu_backend, rng):
    x, w, b, _ = (gpu_backend.asarray(a) for a in conv_values(ONE_TAP, rng))
    with pytest.raises(UnsupportedError, match="depthwise"):
        gpu_backend.conv2d_forward(x, w, b, ONE_TAP.geometry, algorithm="depthwise")
