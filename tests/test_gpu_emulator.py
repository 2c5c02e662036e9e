"""The emulated GPU itself: it runs right kernels right, in any order of threads, and finds planted mistakes."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
from cuda_emulator.array import CupyLikeDevice, DeviceArray
from cuda_emulator.build import compiler
from cuda_emulator.device import EmulatedDevice

from fastconv.kernels.cuda.source import FOLDER

pytestmark = pytest.mark.skipif(
    compiler() is None, reason="g++, which builds the kernels for the CPU, is not installed"
)

ORDERS = ("forward", "backward", 1, 2)
every_order = pytest.mark.parametrize("order", ORDERS)
THREADS = 64

REVERSE = """
extern "C" __global__ void reverse(T *y, const T *x) {
    __shared__ T s[64];
    s[threadIdx.x] = x[threadIdx.x];
    BARRIER
    y[threadIdx.x] = s[63 - threadIdx.x];
}
"""
SUM_OF_WARP = """
extern "C" __global__ void sum_of_warp(T *y, const T *x) {
    T sum = x[threadIdx.x];
    for (int mask = WARP / 2; mask; mask /= 2) sum += shuffle_xor(sum, mask);
    y[threadIdx.x] = sum;
}
"""
NEIGHBOUR = """
extern "C" __global__ void neighbour(T *y, const T *x) {
    __shared__ T s[64];
    const int lane = threadIdx.x % WARP, first = threadIdx.x - lane;
    for (int i = 0; i < 3; i++) {
        s[threadIdx.x] = x[threadIdx.x] + i;
        __syncwarp();
        y[threadIdx.x] = s[first + (lane + 1) % WARP];
        __syncwarp();
    }
}
"""
COPY = """
extern "C" __global__ void copy(T *y, const T *x, int n) {
    T *s = shared_memory<T>();
    for (int half = 0; half < 2; half++) {
        const int i = half * 64 + threadIdx.x;
        copy_async(s + i, x + i, i < n);
        copies_commit();
    }
    WAIT
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
    y[64 + threadIdx.x] = s[127 - threadIdx.x];
}
"""


@dataclass(frozen=True)
class Planted:
    """A kernel of this file, as the device takes one."""

    name: str
    text: str

    file = "planted"
    options = ()

    @property
    def source(self):
        return (FOLDER / "common.cuh").read_text() + self.text


def run(name, body, *, order="forward", n=THREADS, args=(), shared=0):
    """y of a kernel over x = 1 .. n; a body without braces is all that the kernel does."""
    entry = f'extern "C" __global__ void {name}(T *y, const T *x) {{ {body} }}'
    device = EmulatedDevice(order)
    y, x = device.empty((n,), "float32"), np.arange(1, n + 1, dtype="float32")
    kernel = Planted(name, body if "__global__" in body else entry)
    device.launch(kernel, (1,), (THREADS,), (y, x, *args), shared)
    return y, x


class TestRightKernels:
    @every_order
    def test_shared_memory_and_barrier(self, order):
        y, x = run("reverse", REVERSE.replace("BARRIER", "__syncthreads();"), order=order)
        np.testing.assert_array_equal(y, x[::-1])

    @every_order
    def test_shuffle(self, order):
        y, x = run("sum_of_warp", SUM_OF_WARP, order=order)
        np.testing.assert_array_equal(y, np.repeat(x.reshape(2, 32).sum(1), 32))

    @every_order
    def test_barrier_of_a_warp(self, order):
        y, x = run("neighbour", NEIGHBOUR, order=order)
        np.testing.assert_array_equal(y, 2 + np.roll(x.reshape(2, 32), -1, axis=1).reshape(-1))

    @every_order
    def test_asynchronous_copies(self, order):
        y, x = run("copy", COPY.replace("WAIT", "copies_wait<0>();"), order=order, n=128, args=(100,), shared=512)
        expected = np.where(x <= 100, x, 0).reshape(2, 64)[:, ::-1].reshape(-1)
        np.testing.assert_array_equal(y, expected)

    @every_order
    def test_a_record_by_value_and_the_null_pointer(self, order):
        text = """
        struct Three { int a; T b[2]; };
        extern "C" __global__ void add(T *y, const T *x, Three three) {
            y[threadIdx.x] = (x ? x[threadIdx.x] : (T)0) + three.a + three.b[1];
        }"""
        device = EmulatedDevice(order)
        three = np.array((5, (2, 3)), np.dtype([("a", "i4"), ("b", "f4", 2)], align=True))[()]
        y = device.empty((THREADS,), "float32")
        device.launch(Planted("add", text), (1,), (THREADS,), (y, None, three))
        np.testing.assert_array_equal(y, np.full(THREADS, 8, "float32"))

    def test_blocks_and_threads_of_three_axes(self):
        text = """
        extern "C" __global__ void number(int *y) {
            const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
            const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
            y[block * blockDim.x * blockDim.y * blockDim.z + thread] = 100 * block + thread;
        }"""
        device = EmulatedDevice(3)
        y = device.empty((24 * 30,), "int32")
        device.launch(Planted("number", text), (2, 3, 4), (5, 3, 2), (y,))
        np.testing.assert_array_equal(y.reshape(24, 30), 100 * np.arange(24)[:, None] + np.arange(30))


class TestPlantedMistakes:
    def test_a_missing_barrier_shows_in_some_order(self):
        without = REVERSE.replace("BARRIER", "")
        results = [run("reverse", without, order=order)[0] for order in ORDERS]
        assert all(np.isnan(y).any() for y in results)

    def test_a_missing_barrier_of_a_warp(self):
        results = [run("neighbour", NEIGHBOUR.replace("__syncwarp();", ""), order=order)[0] for order in ORDERS]
        assert all(np.isnan(y).any() for y in results)

    def test_a_missing_barrier_before_memory_is_written_again(self):
        step = "s[threadIdx.x] = i; __syncthreads(); sum = 10 * sum + s[63 - threadIdx.x];"
        for barrier, right in (("__syncthreads();", True), ("", False)):
            loop = f"for (int i = 1; i < 4; i++) {{ {step} {barrier} }}"
            body = f"__shared__ T s[64]; T sum = 0; {loop} y[threadIdx.x] = sum;"
            results = [run("again", body, order=order)[0] for order in ORDERS]
            assert all((y == 123).all() for y in results) == right

    @pytest.mark.parametrize("at", ["-1", "64"])
    def test_a_write_beyond_an_array(self, at):
        with pytest.raises(AssertionError, match="beyond: wrote beyond its argument 0"):
            run("beyond", f"y[threadIdx.x] = x[threadIdx.x]; if (threadIdx.x == 3) y[{at}] = 0;")

    def test_a_write_beyond_the_shared_memory_of_the_launch(self):
        with pytest.raises(AssertionError, match="wrote beyond the shared memory"):
            run("beyond_shared", "shared_memory<T>()[threadIdx.x] = y[threadIdx.x] = 1;", shared=252 // 16 * 16)

    def test_shared_memory_that_nobody_wrote(self):
        y, _ = run("unwritten", "__shared__ T s[64]; y[threadIdx.x] = s[threadIdx.x];")
        assert np.isnan(y).all()

    def test_a_result_that_nobody_wrote(self):
        y, _ = run("holes", "if (threadIdx.x != 5) y[threadIdx.x] = 1;")
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(y)), [5])

    @every_order
    def test_a_barrier_that_some_threads_never_reach(self, order):
        with pytest.raises(AssertionError, match=r"divergent: block \(0, 0, 0\): threads wait at a barrier"):
            run("divergent", "if (threadIdx.x < 16) __syncthreads(); y[threadIdx.x] = 1;", order=order)
        y, _ = run("divergent", "__syncthreads(); y[threadIdx.x] = 1;", order=order)  # and goes on working
        assert (y == 1).all()

    @pytest.mark.parametrize("wait", ["", "copies_wait<1>();"])
    def test_a_copy_that_nobody_waited_for(self, wait):
        y, x = run("copy", COPY.replace("WAIT", wait), n=128, args=(128,), shared=512)
        assert np.isnan(y[64:]).all()
        if wait:  # the older of the two groups has arrived
            np.testing.assert_array_equal(y[:64], x[63::-1])

    def test_arguments_of_another_type_or_number(self):
        device = EmulatedDevice()
        kernel = Planted("plain", 'extern "C" __global__ void plain(T *y, int n) { y[0] = n; }')
        y = device.empty((4,), "float32")
        for args, message in (
            ((y,), "takes 2 arguments, got 1"),
            ((y, np.int64(1)), "argument 1 has 8 bytes, the kernel declares 4"),
            ((device.empty((4,), "float64"), 1), "argument 0 has -8 bytes, the kernel declares -4"),
            ((y, None), "argument 1 is None, the kernel declares no pointer"),
        ):
            with pytest.raises(AssertionError, match=message):
                device.launch(kernel, (1,), (1,), args)

    def test_launches_that_no_gpu_takes(self):
        kernel = Planted("nothing", 'extern "C" __global__ void nothing(int n) {}')
        for grid, block, shared in (((0,), (1,), 0), ((1, 2**16), (1,), 0), ((1,), (1025,), 0), ((1,), (1,), 2**20)):
            with pytest.raises(AssertionError, match="nothing: "):
                EmulatedDevice().launch(kernel, grid, block, (1,), shared)

    def test_source_that_does_not_compile(self):
        with pytest.raises(RuntimeError, match="does not build for the emulator"):
            EmulatedDevice().launch(
                Planted("broken", 'extern "C" __global__ void broken(int n) { m = 1; }'), (1,), (1,), (1,)
            )


class TestArraysLikeThoseOfCupy:
    @pytest.fixture
    def turned(self):
        """An array whose axes lie in another order."""
        return CupyLikeDevice().asarray(np.arange(6, dtype="float32").reshape(2, 3)).T

    def test_none_becomes_a_numpy_array_unasked(self, turned):
        with pytest.raises(TypeError, match="CuPy refuses"):
            np.asarray(turned)

    @pytest.mark.parametrize("function", [np.add, lambda a, b: a * b, lambda a, b: b - a, np.broadcast_arrays])
    def test_none_meets_a_numpy_array(self, turned, function):
        with pytest.raises(TypeError, match="CuPy takes no ndarray"):
            function(turned, np.ones((3, 2), "float32"))

    def test_results_lie_in_c_order(self, turned):
        for made in (turned + turned, turned * 2, np.negative(turned), copy.deepcopy(turned)):
            assert made.flags.c_contiguous
        assert turned.copy(order="K").strides == turned.strides

    def test_a_result_goes_where_it_is_wanted(self, turned):
        out = turned.copy(order="K")
        assert np.add(turned, 1, out=out) is out
        np.testing.assert_array_equal(out.get(), turned.get() + 1)

    def test_views_know_whose_memory_they_show(self, turned):
        assert turned.base is not None
        assert turned[0].base is turned.base
        assert (turned + 1).base is None

    def test_an_element_is_an_array(self, turned):
        assert isinstance(turned[1, 1], DeviceArray)
        assert (turned.sum().shape, float(turned[1, 1])) == ((), 4)
