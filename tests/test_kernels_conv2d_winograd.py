"""Winograd's F(4x4, 3x3) and F(2x2, 5x5): within their bound of rounding on every edge of the cuts, and the choice."""

import contextvars

import numpy as np
import pytest
import reference
from cases import CONV_CASES, ConvCase, conv_values, floats, names
from checks import assert_within, poisoned, sum_bound

import fastconv as fc
from fastconv.backends import select

if select.available()["cpu"] != "ready":
    pytest.skip("the cpu backend is not ready", allow_module_level=True)

from fastconv.backends.cpu import conv2d_winograd
from fastconv.backends.cpu.conv2d_winograd import LANES
from fastconv.kernels.cpu.conv2d.winograd_transforms import L, S

L1, L3, L5 = LANES, 3 * LANES, 5 * LANES
SIZES = (3, 5)  # of filters
every_size = pytest.mark.parametrize("K", SIZES, ids=["3x3", "5x5"])


def layer(name, x, channels, K, padding=None):
    """A case of K x K filters; without `padding` its map is as large as the image."""
    return ConvCase(f"{name}_{K}x{K}", x=x, w=(channels, x[1], K, K), padding=padding or (K // 2,) * 4)


def cases(K):
    side, none = 7 - K, (0, 0, 0, 0)
    return [
        layer("one_tile", (1, L1, 6, 6), L1, K, none),
        layer("one_pixel", (2, L1, 1, 1), L3, K),
        layer("last_tiles_stick_out", (2, L1, 7, 9), L3, K),
        layer("last_block_is_narrower", (1, L3, 9, 6), L5, K, none),
        layer("four_paddings", (2, L3, 8, 5), L1, K, (0, 3, 2, 1)),
        layer("padding_beyond_the_filter", (1, L1, 3, 2), L1, K, (K + 2, K + 1, K, K + 3)),
        layer("several_chunks", (6, L1, 4 * side + 1, 4 * side + 2), L3, K),
        layer("groups_of_several_chunks", (8, 2 * L1, 12 * side + 1, 11 * side + 1), L1, K),
        layer("more_filters_than_tiles", (3, L1, 4 * side + K, 4 * side + K), 160, K, none),
    ]


CASES = [case for K in SIZES for case in cases(K)]
every_case = pytest.mark.parametrize("case", CASES, ids=names(CASES))
DEEP = {K: layer("deep", (8, 128, 14, 14), 128, K) for K in SIZES}  # where it is chosen
DIRECTIONS = ("forward", "backward_data", "backward_weight")
UNIT = np.finfo(np.float32).eps / 2
# Beside one for each of the terms: 3 a side in the input, 6 in filters, 4 in the output, and the bias; or, for dw, 3 a
# side in the input and in the gradient and 6 in the result.
ROUNDINGS = 27


@pytest.fixture(scope="module")
def cpu():
    return select.get("cpu")


@pytest.fixture(autouse=True)
def on_again():
    yield
    fc.set_winograd(True)


def matrices(K):
    """B^T, G and A^T from the points, by interpolation (not as the kernels have them)."""
    points, side = [0, S, -S, L, -L], 7 - K
    bt, g, at = np.zeros((6, 6)), np.zeros((6, K)), np.zeros((side, 6))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        bt[i, :5] = np.poly(others)[::-1]
        g[i] = p ** np.arange(K) / np.prod([p - q for q in others])
        at[:, i] = p ** np.arange(float(side))
    bt[5], g[5, -1], at[-1, 5] = np.poly(points)[::-1], 1, 1
    return bt, g, at


def winograd(x, w, padding, absolute=False):
    """The algorithm in float64, x and w in NCHW; with absolute values throughout, what roundings are relative to."""
    K, side = w.shape[-1], 7 - w.shape[-1]
    bt, gt, at = (abs(m) if absolute else m for m in matrices(K))
    x, w = (abs(a) if absolute else a for a in (x.astype(float), w.astype(float)))
    top, bottom, left, right = padding
    OH, OW = x.shape[2] + top + bottom - K + 1, x.shape[3] + left + right - K + 1
    TI, TJ = -(-OH // side), -(-OW // side)
    room = np.zeros((*x.shape[:2], TI * side + K - 1 + bottom, TJ * side + K - 1 + right))
    room[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    u = np.einsum("pi,kcij,qj->pqkc", gt, w, gt, optimize=True)
    y = np.zeros((x.shape[0], len(w), TI * side, TJ * side))
    for i in range(0, TI * side, side):
        for j in range(0, TJ * side, side):
            v = np.einsum("pi,ncij,qj->pqnc", bt, room[:, :, i : i + 6, j : j + 6], bt, optimize=True)
            m = np.einsum("pqnc,pqkc->pqnk", v, u, optimize=True)
            y[:, :, i : i + side, j : j + side] = np.einsum("ip,pqnk,jq->nkij", at, m, at, optimize=True)
    return y[:, :, :OH, :OW]


def weight_magnitude(x, dy, padding, K):
    """The sums over tiles of |Z| |V| between |G^T| and |G|, dw in OIHW."""
    side = 7 - K
    bt, gt, at = (abs(m) for m in matrices(K))
    (top, _, left, _), (OH, OW) = padding, dy.shape[2:]
    TI, TJ = -(-OH // side), -(-OW // side)
    rows, columns = max(TI * side + K - 1, top + x.shape[2]), max(TJ * side + K - 1, left + x.shape[3])
    room = np.zeros((*x.shape[:2], rows, columns))
    room[:, :, top : top + x.shape[2], left : left + x.shape[3]] = abs(x)
    gradients = np.zeros((*dy.shape[:2], TI * side, TJ * side))
    gradients[:, :, :OH, :OW] = abs(dy)
    m = 0
    for i in range(0, TI * side, side):
        for j in range(0, TJ * side, side):
            v = np.einsum("pi,ncij,qj->pqnc", bt, room[:, :, i : i + 6, j : j + 6], bt, optimize=True)
            z = np.einsum("ip,nkij,jq->pqnk", at, gradients[:, :, i : i + side, j : j + side], at, optimize=True)
            m = m + np.einsum("pqnk,pqnc->pqkc", z, v, optimize=True)
    return np.einsum("pi,pqkc,qj->kcij", gt, m, gt, optimize=True), x.shape[0] * TI * TJ


def error_bound(terms, magnitude):
    """Of a result that passes `terms` + ROUNDINGS roundings (Higham, Accuracy and Stability, lemma 3.1)."""
    n = (terms + ROUNDINGS) * UNIT
    return n / (1 - n) * magnitude + np.finfo(np.float32).tiny


def turned(case, w):
    """The filters and the padding of backward-data as a forward pass."""
    g = case.geometry
    return w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), tuple(g.KH - 1 - p for p in (g.PH, g.PB, g.PW, g.PR))


def root_mean_square(a):
    return np.sqrt(np.mean(a**2))


def chosen(g, direction="forward", fixed=False):
    return next(c.name for c in select.get("cpu").explain(g, direction, fixed=fixed) if c.declined is None)


class TestResults:
    @every_case
    def test_forward_within_the_bound(self, cpu, case, rng):
        x, w, b, _ = conv_values(case, rng, floats)
        g = case.geometry
        y = cpu.conv2d_forward(x, w, b, g, algorithm="winograd", out=poisoned(cpu, g.y_shape, "float32"))
        magnitude = winograd(x, w, case.padding, absolute=True) + abs(b)[:, None, None]
        assert_within(y, reference.conv2d(x, w, b, **case.options), error_bound(g.C, magnitude))

    @every_case
    def test_forward_with_filters_that_were_transformed_once(self, cpu, case, rng):
        """As a frozen plan has them; for any number of threads."""
        x, w, b, _ = conv_values(case, rng, floats)
        g, before, results = case.geometry, fc.get_threads(), []
        magnitude = winograd(x, w, case.padding, absolute=True) + abs(b)[:, None, None]
        arrays = [cpu.asarray(a) for a in (x, w, b)]
        try:
            for threads in (1, before):
                fc.set_threads(threads)
                once, y = [], poisoned(cpu, g.y_shape, "float32")
                options = {"algorithm": "winograd", "activation": "relu", "out": y}
                runs = cpu.bind("conv2d_forward", [*arrays, g], options, {}, once)
                for run in (*once, *runs, *runs):
                    run()
                results.append(y.tobytes())
        finally:
            fc.set_threads(before)
        assert_within(y, np.maximum(reference.conv2d(x, w, b, **case.options), 0), error_bound(g.C, magnitude))
        assert results[0] == results[1]

    @every_case
    def test_backward_data_within_the_bound(self, cpu, case, rng):
        x, w, _, dy = conv_values(case, rng, floats)
        g = case.geometry
        dx = cpu.conv2d_backward_data(dy, w, g, algorithm="winograd", out=poisoned(cpu, g.x_shape, "float32"))
        expected, _, _ = reference.conv2d_backward(dy, x, w, **case.options)
        magnitude = magnitude_of_data(case, dy, w)
        assert_within(dx, expected, error_bound(g.OC, magnitude))

    @every_case
    def test_backward_weight_within_the_bound(self, cpu, case, rng):
        x, w, _, dy = conv_values(case, rng, floats)
        g = case.geometry
        out = poisoned(cpu, g.w_shape, "float32"), poisoned(cpu, (g.OC,), "float32")
        dw, db = cpu.conv2d_backward_weight(dy, x, g, algorithm="winograd", out=out)
        _, expected, expected_db = reference.conv2d_backward(dy, x, w, **case.options)
        magnitude, tiles = weight_magnitude(x, dy, case.padding, g.KH)
        chunks_and_groups = tiles // conv2d_winograd.WEIGHT_TILES + 2 * conv2d_winograd.PARTS
        assert_within(dw, expected, error_bound(tiles + chunks_and_groups, magnitude))
        assert_within(db, expected_db, sum_bound("float32", g.N * g.OH * g.OW, abs(dy).sum((0, 2, 3), dtype=float)))

    @every_size
    def test_cases_take_both_cuts_and_several_chunks(self, K):
        plans = [conv2d_winograd._forward_plan(case.geometry) for case in cases(K)]
        assert {plan.by_filters for plan in plans} == {True, False}
        for by_filters in (True, False):
            counts = [(p.p[0][0] * p.p[3][0] * p.p[3][1], p.p[4]) for p in plans if p.by_filters == by_filters]
            assert any(tiles > size for tiles, size in counts)
        assert any(first != last for first, last in (plan.widths for plan in plans))

    @every_size
    def test_cases_with_fixed_filters_take_halves_quarters_and_whole_chunks(self, K):
        tiles = [case.geometry.N * rows * columns for case in cases(K) for rows, columns, _ in [grid_of(case)]]
        sizes = [conv2d_winograd._few_tiles(n) for n in tiles]
        chunks = {-(-n // size) for n, size in zip(tiles, sizes, strict=True) if size}
        assert {1, 2, 4} <= chunks
        assert None in sizes

    @every_size
    def test_cases_take_both_cuts_of_backward_weight_and_several_chunks(self, K):
        plans = [conv2d_winograd._weight_plan(case.geometry) for case in cases(K)]
        counts = [(p.p[0][0] * p.p[3][0] * p.p[3][1], p.by_groups, p.p[4]) for p in plans]
        assert any(by_groups and tiles > conv2d_winograd.PARTS * size for tiles, by_groups, size in counts)
        assert any(not by_groups and tiles > size for tiles, by_groups, size in counts)

    @every_size
    def test_the_matrices_here_make_a_convolution(self, K, rng):
        x, w = floats(rng, (1, 2, 7, 9)), floats(rng, (3, 2, K, K))
        y = reference.conv2d(x, w, padding=(1, 2, 0, 1))
        np.testing.assert_allclose(winograd(x, w, (1, 2, 0, 1)), y, rtol=1e-12, atol=1e-12)

    @every_size
    @pytest.mark.parametrize("channels", [64, 256])
    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_error_at_most_ten_times_that_of_direct_convolution(self, cpu, channels, direction, K, rng):
        """Activations after ReLU, He's weights, gradients of any sign; against float64."""
        case = layer("layer", (4, channels, 14, 14), 64, K)
        x, w, _, dy = conv_values(case, rng, floats)
        x, w, g = np.maximum(x, 0), w * np.float32(np.sqrt(2 / (K * K * channels))), case.geometry
        run = {
            "forward": lambda dtype, name: cpu.conv2d_forward(
                x.astype(dtype), w.astype(dtype), None, g, algorithm=name
            ),
            "backward_data": lambda dtype, name: cpu.conv2d_backward_data(
                dy.astype(dtype), w.astype(dtype), g, algorithm=name
            ),
            "backward_weight": lambda dtype, name: cpu.conv2d_backward_weight(
                dy.astype(dtype), x.astype(dtype), g, algorithm=name
            )[0],
        }[direction]
        exact = run("float64", None)
        winograds, direct = (root_mean_square(run("float32", name) - exact) for name in ("winograd", "tiles"))
        assert winograds < 10 * direct
        assert winograds < 2e-6 * root_mean_square(exact)

    @every_size
    def test_relu_keeps_nan(self, cpu, K, rng):
        case = cases(K)[2]
        x, w, b, _ = conv_values(case, rng, floats)
        b[1] = np.nan
        plain = cpu.conv2d_forward(x, w, b, case.geometry, algorithm="winograd")
        y = cpu.conv2d_forward(x, w, b, case.geometry, algorithm="winograd", activation="relu")
        np.testing.assert_array_equal(y, np.maximum(plain, 0))
        assert np.isnan(y[:, 1]).all()
        assert not np.isnan(y[:, 0]).any()

    @every_size
    def test_a_nan_spreads_over_the_tiles_that_read_it_and_no_further(self, cpu, K, rng):
        case = layer("nan", (2, L1, 12, 12), L1, K)
        x, w, b, _ = conv_values(case, rng, floats)
        x[1, 3, 5, 5] = np.nan
        y = cpu.conv2d_forward(x, w, b, case.geometry, algorithm="winograd")
        touched = np.zeros(y.shape, bool)
        seen = {3: slice(4, 8), 5: slice(3, 8)}[K]  # a tile; the last pixels of one, and two tiles
        touched[1, :, seen, seen] = True
        np.testing.assert_array_equal(np.isnan(y), touched)

    @every_case
    def test_same_bits_for_any_number_of_threads(self, cpu, case, rng):
        x, w, b, dy = conv_values(case, rng, floats)
        before, results = fc.get_threads(), []
        try:
            for threads in (1, before):
                fc.set_threads(threads)
                y = cpu.conv2d_forward(x, w, b, case.geometry, algorithm="winograd")
                dx = cpu.conv2d_backward_data(dy, w, case.geometry, algorithm="winograd")
                dw, db = cpu.conv2d_backward_weight(dy, x, case.geometry, algorithm="winograd")
                results.append([a.tobytes() for a in (y, dx, dw, db)])
        finally:
            fc.set_threads(before)
        assert results[0] == results[1]


def grid_of(case):
    g = case.geometry
    return conv2d_winograd._grid(g.OH, g.OW, g.KH)


def magnitude_of_data(case, dy, w):
    """|winograd| of backward-data; where its padding is negative, the gradient's edge is not read."""
    filters, pads = turned(case, w)
    cut = [max(-p, 0) for p in pads]
    rows, columns = dy.shape[2:]
    read = dy[:, :, cut[0] : rows - cut[1], cut[2] : columns - cut[3]]
    return winograd(read, filters, [max(p, 0) for p in pads], absolute=True)


class TestChoice:
    @every_size
    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_deep_layers_use_it_by_themselves(self, K, direction):
        assert chosen(DEEP[K].geometry, direction) == "winograd"

    @pytest.mark.parametrize("K", [2, 4, 7])
    def test_filters_of_other_sizes_do_not(self, K):
        assert chosen(layer("deep", (8, 128, 14, 14), 128, K).geometry) != "winograd"

    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_small_problems_do_not(self, direction):
        for case in CONV_CASES:
            assert chosen(case.geometry, direction) != "winograd"

    @every_size
    def test_filters_that_are_transformed_once_pay_for_one_image(self, cpu, K):
        g = layer("one_image", (1, 128, 28, 28), 128, K).geometry
        assert chosen(g, fixed=True) == "winograd"
        with fc.set_winograd(False):
            assert chosen(g, fixed=True) == "tiles"
        few = layer("few_pixels", (1, 256, 7, 7), 256, K).geometry
        assert (chosen(few), chosen(few, fixed=True)) == ("dots", "tiles")
        assert chosen(layer("fewest_pixels", (1, 256, 2, 2), 256, K).geometry, fixed=True) == "dots"

    @every_size
    def test_switched_off_it_says_so_and_still_runs_on_request(self, cpu, K, rng):
        g = DEEP[K].geometry
        x, w, b, _ = conv_values(DEEP[K], rng, floats)
        requested = cpu.conv2d_forward(x, w, b, g, algorithm="winograd")
        assert (cpu.conv2d_forward(x, w, b, g) == requested).all()
        with fc.set_winograd(False) as on:
            assert on is False
            assert chosen(g) == "tiles"
            candidate = next(c for c in cpu.explain(g) if c.name == "winograd")
            assert "switched off by fc.set_winograd(False)" in candidate.declined
            assert (cpu.conv2d_forward(x, w, b, g) == cpu.conv2d_forward(x, w, b, g, algorithm="tiles")).all()
            assert (cpu.conv2d_forward(x, w, b, g, algorithm="winograd") == requested).all()
        assert chosen(g) == "winograd"

    def test_for_good_and_for_this_context_only(self):
        assert fc.get_winograd() is True
        elsewhere = contextvars.copy_context()
        fc.set_winograd(False)
        assert fc.get_winograd() is False
        assert elsewhere.run(fc.get_winograd) is True

    @pytest.mark.parametrize("wrong", [1, "off", None])
    def test_anything_but_true_and_false_is_refused(self, wrong):
        with pytest.raises(fc.ArgumentError, match="True or False"):
            fc.set_winograd(wrong)

    @pytest.mark.parametrize(
        ("case", "reason"),
        [
            (ConvCase("strided", x=(1, L1, 8, 8), w=(L1, L1, 3, 3), stride=(2, 2)), "only 3x3 and 5x5"),
            (ConvCase("dilated", x=(1, L1, 8, 8), w=(L1, L1, 3, 3), dilation=(1, 2)), "only 3x3 and 5x5"),
            (ConvCase("grouped", x=(1, 2 * L1, 8, 8), w=(L1, L1, 3, 3), groups=2), "only 3x3 and 5x5"),
            (ConvCase("larger", x=(1, L1, 8, 8), w=(L1, L1, 7, 7)), "only 3x3 and 5x5"),
            (ConvCase("not_square", x=(1, L1, 8, 8), w=(L1, L1, 3, 5)), "only 3x3 and 5x5"),
            (ConvCase("no_whole_vector", x=(1, L1 + 1, 8, 8), w=(L1, L1 + 1, 3, 3)), "multiples of"),
            (ConvCase("no_whole_vector_out", x=(1, L1, 8, 8), w=(L1 + 1, L1, 3, 3)), "multiples of"),
        ],
        ids=lambda value: getattr(value, "name", None),
    )
    def test_what_it_declines(self, cpu, case, reason, rng):
        x, w, b, dy = conv_values(case, rng, floats)
        with pytest.raises(fc.UnsupportedError, match=reason):
            cpu.conv2d_forward(x, w, b, case.geometry, algorithm="winograd")
        with pytest.raises(fc.UnsupportedError, match=reason):
            cpu.conv2d_backward_data(dy, w, case.geometry, algorithm="winograd")
        with pytest.raises(fc.UnsupportedError, match=reason):
            cpu.conv2d_backward_weight(dy, x, case.geometry, algorithm="winograd")

    @every_size
    def test_float64_stays_exact(self, cpu, K, rng):
        g = DEEP[K].geometry
        x, w, b, _ = conv_values(DEEP[K], rng, dtype="float64")
        y = cpu.conv2d_forward(x, w, b, g)
        assert (y == cpu.conv2d_forward(x, w, b, g, algorithm="im2col")).all()
        with pytest.raises(fc.ArgumentError, match="algorithm must be one of"):
            cpu.conv2d_forward(x, w, b, g, algorithm="winograd")

    @every_size
    def test_a_compiled_model_has_a_plan_for_each_choice(self, K, rng):
        model = fc.nn.Sequential(fc.nn.Conv2d(128, 128, K, padding=K // 2), fc.nn.ReLU())
        predict = fc.compile(model)
        x = floats(rng, DEEP[K].x)
        on = predict(x).numpy().copy()
        assert "winograd" in str(predict.plan)
        with fc.set_winograd(False):
            off = predict(x).numpy().copy()
            assert "winograd" not in str(predict.plan)
            np.testing.assert_array_equal(off, model(x).numpy())
        np.testing.assert_array_equal(predict(x).numpy(), on)
        assert (on != off).any()
        np.testing.assert_allclose(on, off, atol=1e-4)
