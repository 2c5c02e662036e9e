"""NVRTC compiles every kernel with every set of constants for every GPU: without a word, within its registers.

It needs no GPU and no driver: pip install fastconv[cuda-check].
"""

import os
import re

import pytest
from gpu_kernels import listed_kernels

from fastconv.kernels.cuda.source import files, source

MISSING = "NVRTC is not installed: pip install fastconv[cuda-check]"
nvrtc = pytest.importorskip("cupy", reason=MISSING, exc_type=ImportError).cuda.nvrtc
try:
    nvrtc.getVersion()
except Exception as error:
    pytest.skip(f"{MISSING} ({error})", allow_module_level=True)

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame")
USAGE = re.compile(r"ptxas (info|  )|$")
REGISTERS = re.compile(r"Used (\d+) registers")

# A multiprocessor has 65,536 registers: 384 threads at the least are resident at once, 256 where matrix units work from
# registers. In double, which serves gradient checks and need not be fast, a little may be spilled.
MOST_REGISTERS, MOST_REGISTERS_OF_MATRIX_UNITS = 168, 255
MOST_STACK = {"float": 0, "double": 256}  # bytes a thread


def uses_matrix_units(file):
    """Whether a file's kernels hold their sums where matrix units add to them."""
    return file.endswith("_mma")


def compiled(file, options, architecture):
    """(binary, log) of a kernel file; the log holds what ptxas tells of each entry."""
    program = nvrtc.createProgram(source(file), f"{file}.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"-arch=sm_{architecture}", "-std=c++17", "-Xptxas=-v", *options))
        return nvrtc.getCUBIN(program), nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)


def sets_of_constants(file, architecture):
    """Those of the listed kernels by turns, so that each is compiled for one GPU; thorough: all of them for each."""
    every = sorted({kernel.options for kernel in listed_kernels() if kernel.file == file})
    if os.environ.get("HYPOTHESIS_PROFILE") == "thorough":
        return every
    turns = architectures(file)
    return every[turns.index(architecture) :: len(turns)]


def architectures(file):
    """The GPUs that a file is for: matrix units are used from sm_80 up."""
    return [a for a in ARCHITECTURES if a >= 80 or not uses_matrix_units(file)]


def test_every_file_is_listed():
    assert {kernel.file for kernel in listed_kernels()} == set(files())


@pytest.mark.parametrize(("file", "architecture"), [(f, a) for f in files() for a in architectures(f)])
def test_compiles_without_a_word_and_within_its_registers(file, architecture):
    most = MOST_REGISTERS_OF_MATRIX_UNITS if uses_matrix_units(file) else MOST_REGISTERS
    for options in sets_of_constants(file, architecture):
        binary, log = compiled(file, options, architecture)
        assert binary[:4] == b"\x7fELF"
        assert not [line for line in log.strip("\0").splitlines() if not USAGE.match(line)], options
        entries = ENTRY.findall(log)
        wanted = {k.name for k in listed_kernels() if (k.file, k.options) == (file, options)}
        assert wanted <= set(entries), options
        element = "double" if "-DELEMENT=double" in options else "float"
        assert max(int(size) for size in STACK.findall(log)) <= MOST_STACK[element], (options, log)
        registers = [int(n) for n in REGISTERS.findall(log)]
        assert len(registers) == len(entries)
        assert max(registers) <= most, (options, log)


def test_cupy_compiles_what_is_loaded_and_flushes_nothing(monkeypatch):
    """The way of kernels/cuda/load.py, up to the GPU."""
    compiler = pytest.importorskip("cupy.cuda.compiler")
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch: ("-arch=compute_90", "ptx"))
    kernel = next(k for k in listed_kernels() if k.file == "gemm" and "-DELEMENT=float" in k.options)
    code, _ = compiler.compile_using_nvrtc(source(kernel.file), ("-std=c++17", *kernel.options), filename="gemm.cu")
    assert b"fma.rn.f32" in code
    assert b"fma.rn.ftz" not in code


def test_a_mistake_in_a_kernel_is_found():
    program = nvrtc.createProgram(source("scalars") + "__device__ int f() { return m; }", "planted.cu", (), ())
    with pytest.raises(nvrtc.NVRTCError):
        nvrtc.compileProgram(program, ("-arch=sm_75", "-std=c++17"))
    assert '"m" is undefined' in nvrtc.getProgramLog(program)
