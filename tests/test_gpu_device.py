"""CuPy as the device: memory, foreign arrays, launches. What needs no GPU runs wherever CuPy is installed."""

import numpy as np
import pytest
from cuda_emulator.array import MADE, SAME, DeviceArray

from fastconv.backends import select
from fastconv.backends.base import Run
from fastconv.errors import BackendError
from fastconv.kernels.cuda.source import Kernel

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install fastconv[cuda13]", exc_type=ImportError)
from fastconv.backends.gpu import cuda  # noqa: E402  (imports CuPy)

STATE = select.available()["gpu"]
MIB = 2**20


def out_of_memory():
    return cupy.cuda.memory.OutOfMemoryError(512 * MIB, 900 * MIB, 0)


class Pool:
    """A memory pool that counts how often it was asked to give back what lies unused."""

    freed = 0

    def free_all_blocks(self):
        self.freed += 1

    def used_bytes(self):
        return 900 * MIB


@pytest.fixture
def pool(monkeypatch):
    made = Pool()
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: made)
    monkeypatch.setattr(cupy.cuda.runtime, "memGetInfo", lambda: (100 * MIB, 1000 * MIB))
    return made


class TestMemory:
    def test_enough_the_first_time(self, pool):
        assert cuda._with_memory(lambda: "array") == "array"
        assert pool.freed == 0

    def test_enough_after_the_pool_gave_back(self, pool):
        answers = [out_of_memory(), "array"]

        def allocate():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert cuda._with_memory(allocate) == "array"
        assert pool.freed == 1

    def test_never_enough(self, pool):
        def allocate():
            raise out_of_memory()

        with pytest.raises(BackendError, match=r"full: .*536,870,912.*1,000 MiB 100 are free .* hold 900\. Use"):
            cuda._with_memory(allocate)
        assert pool.freed == 1


class Foreign:
    """Another library's array."""

    def __init__(self, device):
        self.device = device

    def __dlpack__(self, **options):
        raise AssertionError("this is the libraries' business")

    def __dlpack_device__(self):
        return self.device, 0


@pytest.mark.parametrize(("device", "taken_by"), [(2, "cupy"), (1, "numpy")])
def test_foreign_arrays_are_taken_where_they_lie(monkeypatch, device, taken_by):
    monkeypatch.setattr(cupy, "from_dlpack", lambda a: "cupy")
    monkeypatch.setattr(np, "from_dlpack", lambda a: "numpy")
    monkeypatch.setattr(cupy, "asarray", lambda a, dtype: a)
    assert cuda.CudaDevice.asarray(None, Foreign(device)) == taken_by


def test_the_emulators_arrays_have_nothing_that_cupys_lack():
    own = [name for name in vars(DeviceArray) if callable(getattr(DeviceArray, name)) or name in ("T", "data")]
    names = {*SAME, *MADE, *own} - {"_seen", "__getattr__"}
    assert {name for name in names if not hasattr(cupy.ndarray, name)} == set()


def test_arguments_as_cupy_takes_them():
    record = np.zeros((), [("a", "i4"), ("b", "f8")])[()]
    assert cuda._argument(5).dtype == "int32"
    assert cuda._argument(np.int64(5)).dtype == "int64"
    null = cuda._argument(None)
    assert (null.itemsize, null) == (8, 0)
    by_value = cuda._argument(record)
    assert isinstance(by_value, np.ndarray)
    assert by_value.size == 1


class Stream:
    """A stream whose capture an error ends."""

    def __init__(self, non_blocking):
        assert non_blocking

    __enter__ = __exit__ = lambda self, *_: None

    def begin_capture(self, mode):
        assert mode == cupy.cuda.runtime.streamCaptureModeRelaxed

    def end_capture(self):
        raise cupy.cuda.runtime.CUDARuntimeError(901)


def test_an_error_in_a_capture_is_the_one_that_is_seen(monkeypatch):
    def call():
        raise ValueError("a call of the step")

    monkeypatch.setattr(cupy.cuda, "Stream", Stream)
    with pytest.raises(ValueError, match="a call of the step"):
        cuda.CudaDevice.capture(None, [Run(call)])
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError):
        cuda.CudaDevice.capture(None, [])


@pytest.mark.gpu
@pytest.mark.skipif(STATE != "ready", reason=f"there is no GPU to test: {STATE}")
class TestOnAGpu:
    @pytest.fixture
    def be(self):
        return select.get("gpu")

    def test_knows_the_gpu(self, be):
        device = be._device
        assert device.architecture >= 75
        assert device.processors >= 1

    def test_numbers_travel_without_waiting(self, be):
        numbers = be._numbers([1.5, 2.5, -3], "float32")
        np.testing.assert_array_equal(be.to_numpy(numbers)[:3], [1.5, 2.5, -3])

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_launch(self, be, dtype, rng):
        x = rng.standard_normal(70_001).astype(dtype)
        y = be.activation_forward("tanh", be.asarray(x))
        np.testing.assert_allclose(be.to_numpy(y), np.tanh(x), rtol=4 * np.finfo(dtype).eps)

    def test_memory_that_the_pool_holds_is_found(self, be):
        pool = cupy.get_default_memory_pool()
        before = pool.get_limit()
        pool.free_all_blocks()
        try:
            pool.set_limit(size=pool.used_bytes() + 64 * MIB)
            kept = [be.empty((4 * MIB,)) for _ in range(3)]  # 16 MiB each
            del kept
            assert be.empty((12 * MIB,)).nbytes == 48 * MIB
            with pytest.raises(BackendError, match="the GPU's memory is full"):
                be.empty((32 * MIB,))
        finally:
            pool.set_limit(size=before)

    def test_arrays_of_cupy_are_taken_as_they_are(self, be):
        a = cupy.arange(6, dtype="float32")
        assert be.asarray(a).data.ptr == a.data.ptr

    def test_anything_with_the_array_interface(self, be):
        class Other:
            def __init__(self, a):
                self.kept, self.__cuda_array_interface__ = a, a.__cuda_array_interface__

        a = cupy.arange(6, dtype="float32")
        assert be.asarray(Other(a)).data.ptr == a.data.ptr

    @pytest.mark.parametrize("where", ["cpu", "cuda"])
    def test_arrays_of_torch(self, be, where):
        torch = pytest.importorskip("torch")
        if where == "cuda" and not torch.cuda.is_available():
            pytest.skip("this PyTorch has no CUDA")
        values = torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4).to(where)
        a = be.asarray(values)
        np.testing.assert_array_equal(be.to_numpy(a), values.cpu().numpy())
        if where == "cuda":
            rows = values.reshape(-1)
            assert be.asarray(rows).data.ptr == rows.data_ptr()

    def test_to_cupy_and_torch(self, be):
        torch = pytest.importorskip("torch")
        a = be.activation_forward("relu", be.asarray(np.float32([-1, 2])))
        assert cupy.asarray(a).tolist() == [0, 2]
        if torch.cuda.is_available():
            assert torch.from_dlpack(a).tolist() == [0, 2]

    def test_a_kernel_that_does_not_compile(self, be):
        with pytest.raises(RuntimeError, match=r"does not compile \(-DELEMENT=nonsense\)(.|\n)*typedef ELEMENT T"):
            cuda.function(Kernel("scalars", "store_words", (("ELEMENT", "nonsense"),)))

    def test_work_on_the_current_stream(self, be):
        with cupy.cuda.Stream(non_blocking=True):
            y = be.activation_forward("relu", be.asarray(np.float32([-1, 2])))
            be.synchronize()
            assert be.to_numpy(y).tolist() == [0, 2]
