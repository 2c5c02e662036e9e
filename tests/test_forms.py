"""Forms: native functions from LLVM IR, compiled once, kept on disk, called from kernels through their address."""

import ctypes

import numpy as np
import pytest

from fastconv.backends import select

if select.available()["cpu"] != "ready":
    pytest.skip("the cpu backend is not ready", allow_module_level=True)

from llvmlite import ir

from fastconv.kernels.cpu import forms
from fastconv.kernels.cpu.jit import kernel
from fastconv.kernels.cpu.simd import I64, address


def add_and_shift(builder, args, shift, extra):
    """to[0] = ((a + b) << shift) + extra"""
    to, a, b = args
    total = builder.add(builder.shl(builder.add(a, b), I64(shift)), I64(extra))
    builder.store(total, builder.inttoptr(to, ir.PointerType(I64)))


def refuse(builder, args, *constants):
    raise AssertionError("the form is emitted again")


refuse.__qualname__ = refuse.__name__ = add_and_shift.__name__


@kernel
def through_a_kernel(out, form, a, b):
    forms.call_form(form, (address(out), a, b))


def called(at, a, b):
    """What the form at an address writes, called from C."""
    out = np.zeros(1, np.int64)
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(at)(out.ctypes.data, a, b)
    return out[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A place for forms, and a process that has none yet."""
    monkeypatch.setattr(forms, "cache_folders", lambda: (tmp_path,))
    monkeypatch.setattr(forms, "_forms", {})
    return tmp_path


def forget(monkeypatch):
    monkeypatch.setattr(forms, "_forms", {})


def test_the_whole_module_is_part_of_the_form(folder):
    """Two files of one name, in different folders, must not meet in one symbol."""
    assert called(forms.form_address(add_and_shift, (1, 0), 3), 5, 6) == 22

    def multiplied(builder, args, shift, extra):
        to, a, b = args
        builder.store(builder.mul(a, b), builder.inttoptr(to, ir.PointerType(I64)))

    multiplied.__name__, multiplied.__module__ = add_and_shift.__name__, "elsewhere." + __name__
    assert called(forms.form_address(multiplied, (1, 0), 3), 5, 6) == 30
    assert called(forms.form_address(add_and_shift, (1, 0), 3), 5, 6) == 22


def test_constants_are_part_of_the_form(folder):
    addresses = {c: forms.form_address(add_and_shift, c, 3) for c in ((0, 0), (0, 1), (2, 5))}
    assert len(set(addresses.values())) == 3
    for (shift, extra), at in addresses.items():
        assert called(at, 3, 4) == (7 << shift) + extra


def test_a_kernel_calls_it(folder):
    out = np.zeros(1, np.int64)
    through_a_kernel(out, forms.form_address(add_and_shift, (3, 1), 3), 2, 5)
    assert out[0] == 57


def test_it_is_emitted_once(folder):
    first = forms.form_address(add_and_shift, (1, 1), 3)
    assert forms.form_address(refuse, (1, 1), 3) == first


def test_the_next_process_finds_it_on_disk(folder, monkeypatch):
    forms.form_address(add_and_shift, (1, 2), 3)
    assert len(list(folder.iterdir())) == 1
    forget(monkeypatch)
    assert called(forms.form_address(refuse, (1, 2), 3), 3, 4) == 16


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:60] + bytes([b[60] ^ 1]) + b[61:], lambda b: b""])
def test_a_damaged_file_is_compiled_anew(folder, monkeypatch, damage):
    forms.form_address(add_and_shift, (1, 3), 3)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    forget(monkeypatch)
    with pytest.raises(AssertionError):
        forms.form_address(refuse, (1, 3), 3)
    assert called(forms.form_address(add_and_shift, (1, 3), 3), 3, 4) == 17
    forget(monkeypatch)
    forms.form_address(refuse, (1, 3), 3)


def test_nowhere_to_keep_it(monkeypatch):
    monkeypatch.setattr(forms, "cache_folders", tuple)
    forget(monkeypatch)
    assert called(forms.form_address(add_and_shift, (1, 4), 3), 3, 4) == 18
