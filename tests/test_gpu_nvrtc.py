"""NVRTC compiles every kernel with every set of constants for every GPU: without a word, without spilled registers.

It needs no GPU and no driver: pip install fastconv[cuda-check].
"""

import re

import pytest
from fastconv.kernels.cuda.source import files, source
from gpu_kernels import listed_kernels

MISSING = "NVRTC is not installed: pip install fastconv[cuda-check]"
nvrtc = pytest.importorskip("cupy", reason=MISSING, exc_type=ImportError).cuda.nvrtc
try:
    nvrtc.getVersion()
except Exception as error:
    pytest.skip(f"{MISSING} ({error})", allow_module_level=True)

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USAGE = re.compile(r"ptxas (info|  )|$")
REGISTERS = re.compile(r"Used (\d+) registers")

# Two blocks of 256 threads fit a multiprocessor's 65,536 registers.
MOST_REGISTERS = 128


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


def sets_of_constants(file):
    return sorted({kernel.options for kernel in listed_kernels() if kernel.file == file})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", files())
def test_compiles_without_a_word_and_spills_nothing(file, architecture):
    for options in sets_of_constants(file):
        binary, log = compiled(file, options, architecture)
        told = [
            line for line in log.strip("\0").splitlines() if line and not line.startswith(("ptxas info", "ptxas  "))
        ]
        assert binary[:4] == b"\x7fELF"
        assert not told, options
        entries = ENTRY.findall(log)
        wanted = {k.name for k in listed_kernels() if (k.file, k.options) == (file, options)}
        assert wanted <= set(entries), options
        assert all(stack == ("0", "0", "0") for stack in STACK.findall(log)), (options, log)
        registers = [int(n) for n in REGISTERS.findall(log)]
        assert len(registers) == len(entries)
        assert max(registers) <= MOST_REGISTERS, (options, log)


def test_a_mistake_in_a_kernel_is_found():
    program = nvrtc.createProgram(source("scalars") + "__device__ int f() { return m; }", "planted.cu", (), ())
    with pytest.raises(nvrtc.NVRTCError):
        nvrtc.compileProgram(program, ("-arch=sm_75", "-std=c++17"))
    assert '"m" is undefined' in nvrtc.getProgramLog(program)
