"""fc.set_precision: who can compute in what, how long the choice lasts, and what it changes."""

import contextvars

import numpy as np
import pytest
from cuda_emulator.build import compiler

import fastconv as fc
from fastconv.backends.gpu import GpuBackend
from fastconv.backends.precision import PRECISIONS

LOWER = PRECISIONS[1:]

needs_gpu = pytest.mark.skipif(
    compiler() is None or bool(GpuBackend.__abstractmethods__), reason="the emulated GPU needs g++"
)


@pytest.fixture(autouse=True)
def float32_again():
    yield
    fc.set_precision("float32")
    fc.use("cpu")


class TestChoice:
    def test_float32_is_the_default(self):
        assert fc.get_precision() == "float32"

    @pytest.mark.parametrize("name", ["cpu", "reference"])
    @pytest.mark.parametrize("precision", LOWER)
    def test_backends_without_tensor_cores_refuse(self, name, precision):
        with fc.use(name), pytest.raises(fc.UnsupportedError, match=f"{name} backend cannot compute in {precision}"):
            fc.set_precision(precision)
        assert fc.get_precision() == "float32"

    @pytest.mark.parametrize("name", ["cpu", "reference"])
    def test_float32_is_everyones(self, name):
        with fc.use(name), fc.set_precision("float32") as precision:
            assert precision == "float32"

    def test_no_such_precision(self):
        with pytest.raises(fc.ArgumentError, match="float32, tf32, bfloat16, float16, got 'fp8'"):
            fc.set_precision("fp8")

    @needs_gpu
    @pytest.mark.parametrize("precision", LOWER)
    def test_for_good_or_inside_a_block(self, precision):
        fc.use("cuda-emu")
        with fc.set_precision(precision):
            assert fc.get_precision() == precision
            with fc.set_precision("float32"):
                assert fc.get_precision() == "float32"
            assert fc.get_precision() == precision
        assert fc.get_precision() == "float32"
        fc.set_precision(precision)
        assert fc.get_precision() == precision

    @needs_gpu
    def test_a_backend_that_cannot_is_not_chosen_meanwhile(self):
        with fc.use("cuda-emu"):
            with (
                fc.set_precision("tf32"),
                pytest.raises(fc.UnsupportedError, match="cpu backend cannot"),
            ):
                fc.use("cpu")
            fc.use("cpu")

    @needs_gpu
    def test_other_contexts_keep_their_own(self):
        elsewhere = contextvars.copy_context()
        fc.use("cuda-emu")
        fc.set_precision("tf32")
        assert elsewhere.run(fc.get_precision) == "float32"


@pytest.fixture
def units(gpu_backend):
    """The name of a backend with tensor cores."""
    if reason := gpu_backend.declines_precision("tf32"):
        pytest.skip(reason)
    return gpu_backend.name


@needs_gpu
class TestMeaning:
    @pytest.mark.parametrize("precision", LOWER)
    def test_factors_are_rounded_and_arrays_stay_float32(self, units, precision, rng):
        fc.use(units)
        x, w = (fc.tensor(rng.standard_normal(shape).astype("float32")) for shape in ((2, 8, 6, 6), (8, 8, 3, 3)))
        strict = fc.functional.conv2d(x, w).numpy()
        with fc.set_precision(precision):
            y = fc.functional.conv2d(x, w).numpy()
        assert y.dtype == "float32"
        error = np.abs(y - strict).max() / np.abs(strict).max()
        assert 1e-5 < error < {"tf32": 2e-3, "float16": 2e-3, "bfloat16": 2e-2}[precision]
        np.testing.assert_array_equal(fc.functional.conv2d(x, w).numpy(), strict)

    @pytest.mark.parametrize("precision", LOWER)
    def test_a_network_learns(self, units, precision, rng):
        fc.use(units)
        fc.manual_seed(1)
        model = fc.nn.Sequential(fc.nn.Conv2d(1, 8, 3), fc.nn.ReLU(), fc.nn.Flatten(), fc.nn.Linear(8 * 36, 4))
        optimizer, loss = fc.optim.SGD(model.parameters(), lr=0.1), fc.nn.CrossEntropyLoss()
        x, t = rng.standard_normal((16, 1, 8, 8)).astype("float32"), rng.integers(0, 4, 16)
        values = []
        with fc.set_precision(precision):
            for _ in range(10):
                value = loss(model(x), t)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                values.append(float(value.numpy()))
        assert values[-1] < 0.5 * values[0]
        assert all(p.numpy().dtype == "float32" for p in model.parameters())

    def test_a_compiled_step_has_a_plan_for_each_precision(self, rng):
        fc.use("cuda-emu")
        model = fc.nn.Sequential(fc.nn.Conv2d(8, 8, 3), fc.nn.Flatten(), fc.nn.Linear(8 * 16, 4))
        predict = fc.compile(model)
        x = rng.standard_normal((2, 8, 6, 6)).astype("float32")
        with fc.no_grad():
            strict, eager = model(x).numpy(), {}
            for precision in LOWER:
                with fc.set_precision(precision):
                    eager[precision] = model(x).numpy()
        for _ in range(3):  # a step is run, captured and replayed
            np.testing.assert_array_equal(predict(x).numpy(), strict)
            for precision in LOWER:
                with fc.set_precision(precision):
                    np.testing.assert_array_equal(predict(x).numpy(), eager[precision])
        assert len({y.tobytes() for y in (strict, *eager.values())}) == 1 + len(LOWER)

    def test_tensors_of_other_backends_are_computed_in_float32(self, rng):
        x, w = (rng.standard_normal(shape).astype("float32") for shape in ((9, 16), (16, 5)))
        a, b = fc.tensor(x), fc.tensor(w)
        strict = a.backend.matmul(a.data, b.data)
        with fc.use("cuda-emu"), fc.set_precision("tf32"):
            np.testing.assert_array_equal(a.backend.matmul(a.data, b.data), strict)
