"""Vector rows and the micro-kernel: every walk, element type and edge of a block, every width, code for other CPUs."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from llvmlite import ir

from fastconv.backends.host import aligned
from fastconv.kernels.cpu import jit, micro
from fastconv.kernels.cpu.micro import (
    BESIDE,
    LISTED,
    PACKED,
    PANELS,
    RELU,
    ROWS,
    ROWS_1,
    ROWS_2,
    STREAM,
    TABLE,
    micro_kernel,
)
from fastconv.kernels.cpu.rows import add_rows, copy_rows, transpose_tile
from fastconv.kernels.cpu.simd import VECTOR_BYTES, Vectors, address

FLOATS = ("float32", "float64")
BLOCKS = [(PACKED, rows, vectors) for vectors, rows in ROWS.items()]
BLOCKS += [(LISTED, rows, vectors) for vectors, rows in ROWS.items()]
BLOCKS += [(TABLE, ROWS_1, 1), (TABLE, ROWS_2, 2), (PANELS, ROWS_2, 2), (BESIDE, ROWS_1, 1), (BESIDE, ROWS_2, 2)]
WALKS = {PACKED: "packed", TABLE: "table", PANELS: "panels", BESIDE: "beside", LISTED: "listed"}


@cache
def block_function(walk, rows, vectors):
    @numba.njit
    def run(y, a, b, runs, offsets, steps, outs, count, columns, start, act):
        micro_kernel(
            walk, rows, vectors, y, address(a), address(b), (address(runs), len(runs)), (address(offsets), 0), steps,
            (address(y), address(outs), count, columns), start, act,
        )  # fmt: skip

    return run


class Problem:
    """A block whose two runs, of lengths that leave a remainder, start at different places of a and b."""

    lengths = (9, 6)

    def __init__(self, walk, rows, vectors, dtype, rng):
        self.item = np.dtype(dtype).itemsize
        self.width = vectors * VECTOR_BYTES // self.item
        self.rows = rows
        step_a = {PACKED: 1, TABLE: 31, PANELS: rows, BESIDE: 31, LISTED: 17}[walk]
        pitch = 21 if walk in (PACKED, LISTED) else 1
        self.a = rng.integers(-4, 5, 4000).astype(dtype)
        self.b = rng.integers(-4, 5, (40, self.width)).astype(dtype)
        self.runs = np.array([(0, 0, 9), (700 * self.item, 20 * self.width * self.item, 6)], np.int64)
        self.offsets = np.arange(rows, dtype=np.int64) * pitch * self.item
        self.steps = step_a * self.item, self.width * self.item
        if walk == LISTED:
            self.places = np.array([a0 + s * step_a for a0 in (0, 700) for s in range(9)], np.int64) * self.item
            self.runs[1, 0] = self.places[:9].nbytes
            self.steps = self.places.ctypes.data, 0
        self.product = np.zeros((rows, self.width))
        for a0, b0, length in ((0, 0, 9), (700, 20, 6)):
            for s in range(length):
                for i in range(rows):
                    self.product[i] += float(self.a[a0 + i * pitch + s * step_a]) * self.b[b0 + s]

    def run(self, function, y, count, columns, start=0, act=0):
        outs = np.arange(self.rows, dtype=np.int64) * y.shape[1] * self.item
        function(y, self.a, self.b, self.runs, self.offsets, self.steps, outs, count, columns, start, act)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("walk", "rows", "vectors"), BLOCKS, ids=[f"{WALKS[w]}_{m}x{n}" for w, m, n in BLOCKS])
class TestMicroKernel:
    def test_part_of_a_block_from_a_given_start(self, walk, rows, vectors, dtype, rng):
        problem = Problem(walk, rows, vectors, dtype, rng)
        start = rng.integers(-4, 5, problem.width).astype(dtype)
        y = np.full((rows, problem.width + 1), np.nan, dtype)
        problem.run(block_function(walk, rows, vectors), y, rows - 1, problem.width - 1, start.ctypes.data)
        assert (y[:-1, :-2] == (problem.product + start)[:-1, :-1]).all()
        assert np.isnan(y[-1]).all()
        assert np.isnan(y[:, -2:]).all()

    def test_adds_to_what_is_there_and_cuts_negatives(self, walk, rows, vectors, dtype, rng):
        problem = Problem(walk, rows, vectors, dtype, rng)
        before = rng.integers(-4, 5, (rows, problem.width)).astype(dtype)
        y = before.copy()
        problem.run(block_function(walk, rows, vectors), y, rows, problem.width, start=1, act=1)
        assert (y == np.maximum(before + problem.product, 0)).all()

    def test_whole_blocks_past_the_caches(self, walk, rows, vectors, dtype, rng):
        problem = Problem(walk, rows, vectors, dtype, rng)
        y = aligned(rows * problem.width * problem.item).view(dtype).reshape(rows, problem.width)
        y.fill(np.nan)
        problem.run(block_function(walk, rows, vectors), y, rows, problem.width, act=RELU + STREAM)
        assert (y == np.maximum(problem.product, 0)).all()

    def test_nan_stays_nan(self, walk, rows, vectors, dtype, rng):
        problem = Problem(walk, rows, vectors, dtype, rng)
        problem.b[3, 2] = np.nan
        y = np.zeros((rows, problem.width), dtype)
        problem.run(block_function(walk, rows, vectors), y, rows, problem.width, act=1)
        assert np.isnan(y[:, 2]).all()
        assert (np.delete(y, 2, axis=1) == np.delete(np.maximum(problem.product, 0), 2, axis=1)).all()


@pytest.mark.parametrize("dtype", FLOATS)
class TestRows:
    def test_copy_fills_up_with_zeros(self, dtype, rng):
        @numba.njit
        def run(y, x, given, written):
            item = x.itemsize
            copy_rows(2, x, address(y), y.shape[1] * item, address(x), x.shape[1] * item, len(x), given, written)

        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        x = rng.integers(1, 9, (5, 2 * lanes)).astype(dtype)
        for given, written in ((0, 3), (1, lanes), (lanes, lanes + 1), (2 * lanes - 1, 2 * lanes)):
            y = np.full((5, 2 * lanes), np.nan, dtype)
            run(y, x, given, written)
            assert (y[:, :given] == x[:, :given]).all()
            assert (y[:, given:written] == 0).all()
            assert np.isnan(y[:, written:]).all()

    @pytest.mark.parametrize("length", [0, 1, 4, 11])
    def test_sums_of_columns(self, dtype, length, rng):
        @numba.njit
        def run(y, x, length, start):
            add_rows(2, 4, x, address(x), x.shape[1] * x.itemsize, length, address(y), len(y), start)

        x = rng.integers(-9, 9, (length + 1, 20)).astype(dtype)
        columns = min(13, 2 * VECTOR_BYTES // np.dtype(dtype).itemsize)
        y = np.full(columns, 5, dtype)
        run(y, x, length, 1)
        assert (y == 5 + x[:length, :columns].sum(0)).all()
        run(y, x, length, 0)
        assert (y == x[:length, :columns].sum(0)).all()

    def test_transposed_tiles(self, dtype, rng):
        @numba.njit
        def run(y, x, rows, depth):
            item = x.itemsize
            transpose_tile(x, address(y), y.shape[1] * item, address(x), x.shape[1] * item, rows, depth)

        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        x = rng.integers(1, 99, (lanes, lanes + 3)).astype(dtype)
        for rows, depth in ((lanes, lanes), (lanes - 1, 1), (1, lanes - 1)):
            y = np.full((lanes, lanes), np.nan, dtype)
            run(y, x, rows, depth)
            assert (y[:depth, :rows] == x[:rows, :depth].T).all()
            assert (y[:depth, rows:] == 0).all()
            assert np.isnan(y[depth:]).all()


WIDTH_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, reference
from cases import ConvCase, conv_values
from fastconv.backends.select import get
from fastconv.kernels.cpu.simd import VECTOR_BYTES
assert VECTOR_BYTES == int(sys.argv[2]) // 8, VECTOR_BYTES
be, rng = get("cpu"), np.random.default_rng(0)
for c, k, stride, dtype in ((1, 6, 1, "float32"), (6, 18, 1, "float32"), (19, 35, 2, "float32"), (9, 20, 1, "float64")):
    case = ConvCase("widths", x=(2, c, 7, 6), w=(k, c, 3, 3), padding=(1, 0, 2, 1), stride=(stride, 1))
    x, w, b, dy = (be.asarray(a) for a in conv_values(case, rng, dtype=dtype))
    assert (be.conv2d_forward(x, w, b, case.geometry) == reference.conv2d(x, w, b, **case.options)).all()
    dx, dw, db = reference.conv2d_backward(dy, x, w, **case.options)
    assert (be.conv2d_backward_data(dy, w, case.geometry) == dx).all()
    actual = be.conv2d_backward_weight(dy, x, case.geometry)
    assert (actual[0] == dw).all() and (actual[1] == db).all()
a, b = (rng.integers(-4, 5, shape).astype("float32") for shape in ((17, 600), (600, 37)))
assert (be.matmul(a, b) == a @ b).all()
for dtype in ("float32", "float64"):
    x, w, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((17, 70), (13, 70), (13,)))
    assert (be.linear_forward(x, w, b) == x @ w.T + b).all()
print("every pass is exact")
"""


@pytest.mark.parametrize("bits", [b for b in (128, 256) if b // 8 < jit.vector_bytes()])
def test_narrower_vectors_are_exact(bits, tmp_path):
    env = {**os.environ, "FASTCONV_SIMD_WIDTH": str(bits), "FASTCONV_CACHE_DIR": str(tmp_path)}
    here = str(Path(__file__).parent)
    run = subprocess.run(
        [sys.executable, "-c", WIDTH_RUN, here, str(bits)], env=env, capture_output=True, text=True, check=False
    )
    assert run.stdout == "every pass is exact\n", run.stderr


def test_unknown_widths_are_refused():
    env = {**os.environ, "FASTCONV_SIMD_WIDTH": "100"}
    run = subprocess.run(
        [sys.executable, "-c", "import fastconv.kernels.cpu.simd"], env=env, capture_output=True, text=True, check=False
    )
    assert "FASTCONV_SIMD_WIDTH must be 128, 256 or 512 bits, got '100'" in run.stderr


TARGETS = [
    ("x86_64-unknown-linux-gnu", "+avx512f,+avx512vl,+avx512bw,+avx512dq,+fma", 64, "zmm"),
    ("x86_64-unknown-linux-gnu", "+avx2,+fma", 32, "ymm"),
    ("aarch64-unknown-linux-gnu", "+neon", 16, "fmla"),
]


def assembly(triple, features, vector_bytes, item, walk, rows, vectors):
    """The micro-kernel as a function of its own, compiled for another CPU."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = ir.Module()
    i64 = ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [i64] * 14), "block")
    builder = ir.IRBuilder(function.append_basic_block())
    a, b, runs, count, table, step, step_a, step_b, base, outs, rows_out, columns, start, act = function.args
    block = micro._Block(Vectors(builder, item, vector_bytes // item), walk, rows, vectors)
    block.emit(a, b, (runs, count), (table, step), (step_a, step_b), (base, outs, rows_out, columns), start, act)
    builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=3)
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    llvm.create_pass_builder(machine, tuning).getModulePassManager().run(
        parsed, llvm.create_pass_builder(machine, tuning)
    )
    return machine.emit_assembly(parsed)


@pytest.mark.parametrize(("triple", "features", "vector_bytes", "word"), TARGETS, ids=["avx512", "avx2", "neon"])
@pytest.mark.parametrize("item", [4, 8])
def test_code_for_other_cpus_compiles(triple, features, vector_bytes, word, item):
    text = assembly(triple, features, vector_bytes, item, PACKED, 6, 2)
    multiply_adds = [line for line in text.splitlines() if "fmadd" in line or "fmla" in line]
    assert any(word in line for line in multiply_adds)
    assert len(multiply_adds) >= 6 * 2 * (micro.UNROLL + 1)
