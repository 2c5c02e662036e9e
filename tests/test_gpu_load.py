"""From a kernel to a function of the GPU: compiled once, kept on disk, denormals kept; a stand-in plays the GPU."""

from types import SimpleNamespace

import pytest

from fastconv.kernels.cuda.source import Kernel, with_source_lines

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install fastconv[cuda13]", exc_type=ImportError)
from fastconv.backends.gpu import cuda  # noqa: E402  (imports CuPy)
from fastconv.kernels.cuda import load  # noqa: E402


class Function:
    """A kernel that keeps what it was called with."""

    ptr = 17

    def __call__(self, grid, block, args, *, shared_mem):
        self.launched = grid, block, args, shared_mem


@pytest.fixture
def made(monkeypatch, tmp_path):
    """What a machine with a GPU would make: the loaded binaries and the options of each compilation."""
    seen = SimpleNamespace(compiled=[], loaded=[], asked=[], function=Function())

    class Module:
        def load(self, binary):
            seen.loaded.append(binary)

        def get_function(self, name):
            return seen.function

    def compile_using_nvrtc(text, options, filename):
        seen.compiled.append((filename, options))
        return f"machine code of {filename}".encode(), {}

    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cupy.cuda.runtime, "getDevice", lambda: 0)
    monkeypatch.setattr(cupy.cuda, "Device", lambda: SimpleNamespace(compute_capability="90"))
    monkeypatch.setattr(cupy.cuda.function, "Module", Module)
    monkeypatch.setattr(load.compiler, "compile_using_nvrtc", compile_using_nvrtc)
    monkeypatch.setattr(load.driver, "funcSetAttribute", lambda *asked: seen.asked.append(asked))
    forget()
    yield seen
    forget()


def forget():
    """As a process that has launched nothing yet."""
    load._module.cache_clear()
    load._loaded.cache_clear()


class TestLoading:
    KERNEL = Kernel("scalars", "store_words")

    @pytest.mark.parametrize("shared", [0, 512, 48 * 1024])
    def test_shared_memory_of_a_launch_is_asked_for(self, made, shared):
        """Also where it is no more than 48 KiB: what the kernel declares comes on top."""
        for _ in range(2):
            cuda.CudaDevice.launch(None, self.KERNEL, (2,), (32,), (7,), shared)
        assert made.function.launched == ((2,), (32,), (7,), shared)
        attribute = load.driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        assert made.asked == [(Function.ptr, attribute, shared)] * (shared > 0)

    def test_a_launch_with_less_shared_memory_leaves_the_others_theirs(self, made):
        """The attribute is the function's: what is asked for later would else be the most for all its launches."""
        for shared in (1056, 1040, 1056, 2048):
            cuda.CudaDevice.launch(None, self.KERNEL, (2,), (32,), (7,), shared)
        assert [shared for _, _, shared in made.asked] == [1056, 2048]

    def test_machine_code_is_kept_for_the_next_process(self, made):
        for _ in range(2):
            load.function(self.KERNEL)
            forget()
        assert len(made.compiled) == 1
        assert made.loaded == 2 * [b"machine code of scalars.cu"]

    def test_what_was_kept_is_checked(self, made):
        load.function(self.KERNEL)
        (kept,) = load.disk_cache.folder().iterdir()
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
        forget()
        load.function(self.KERNEL)
        assert len(made.compiled) == 2
        assert made.loaded[1] == made.loaded[0]

    def test_every_set_of_constants_is_compiled(self, made):
        for n in (1, 2):
            load.function(Kernel("scalars", "store_words", (("N", n),)))
        assert [options[-1] for _, options in made.compiled] == ["-DN=1", "-DN=2"]

    def test_a_folder_that_cannot_be_written_to(self, made, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "file"))
        load.function(self.KERNEL)
        assert made.loaded == [b"machine code of scalars.cu"]

    def test_denormals_are_not_flushed(self, made):
        """NVRTC keeps them unless it is told otherwise; CuPy's own kernels tell it."""
        load.function(self.KERNEL)
        ((_, options),) = made.compiled
        assert not [option for option in options if "ftz" in option]

    def test_a_mistake_is_shown_with_its_line(self, made, monkeypatch):
        def fails(text, options, filename):
            log = "common.cuh(6): error: no such type"
            raise load.compiler.CompileException(log, text, filename, options, "nvrtc")

        monkeypatch.setattr(load.compiler, "compile_using_nvrtc", fails)
        with pytest.raises(
            RuntimeError, match=r"scalars.cu does not compile \(-DELEMENT=x\):\n(.|\n)*typedef ELEMENT T"
        ):
            load.function(Kernel("scalars", "store_words", (("ELEMENT", "x"),)))


def test_messages_of_the_compiler_show_their_source_lines():
    log = "common.cuh(1): error: something\nsomewhere.cu(3): error: else\nloss.cu(99999): error: beyond"
    shown = with_source_lines(log).splitlines()
    assert shown[0] == "common.cuh(1): error: something"
    assert shown[1].startswith("    // What every kernel file may use")
    assert shown[2:4] == ["somewhere.cu(3): error: else", "loss.cu(99999): error: beyond"]
