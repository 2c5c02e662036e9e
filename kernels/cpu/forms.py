"""Forms: loops of registers written as LLVM IR, native functions that kernels call through their address.

The hot loop of a kernel comes in forms: sizes of a tile, kind of an activation. Inlined, each form would be a version
of the whole kernel around it, compiled anew; and Numba's own steps (bytecode, types, lowering) take longer than LLVM's
for code that is IR already. A form is a module of one function, optimised and kept on disk like a kernel.

Kernels of a LeNet-5 step that fuse convolution and pooling, cold cache, AMD Zen 5, seconds of compilation: inlined 3.2,
as forms 1.5. A call takes 2 to 7 ns.
"""

import pickle

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from . import disk_cache
from .compilers import KernelLibrary
from .jit import cache_folders

_INT = ir.IntType(64)
_forms = {}  # the libraries, which keep the code alive, and the addresses in them


def form_address(emit, constants, arguments):
    """Where the function is whose body emit(builder, arguments, *constants) writes; compiled at the first call.

    Args:
        emit: a function of a module. constants: whole numbers that the code depends on.
        arguments: how many int64 the function takes; it returns nothing.
    """
    key = emit.__module__, emit.__qualname__, constants
    if key not in _forms:
        with global_compiler_lock:
            if key not in _forms:
                library = _library(emit, constants, arguments)
                _forms[key] = library, library.get_pointer_to_function(_symbol(emit, constants))
    return _forms[key][1]


@intrinsic
def call_form(typingctx, form, arguments):
    """Call the form at an address; arguments: a tuple of int64."""

    def codegen(context, builder, signature, values):
        numbers = cgutils.unpack_tuple(builder, values[1])
        function = ir.FunctionType(ir.VoidType(), [_INT] * len(numbers))
        builder.call(builder.inttoptr(values[0], function.as_pointer()), numbers)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), codegen


def _symbol(emit, constants):
    return ".".join((emit.__module__, emit.__name__, *map(str, constants)))


def _library(emit, constants, arguments):
    codegen = cpu_target.target_context.codegen()
    symbol, places = _symbol(emit, constants), cache_folders()
    file = disk_cache.file_name(symbol, (emit.__module__, arguments, codegen.magic_tuple()))
    kept = disk_cache.read(places, file)
    if kept is not None:
        return codegen.unserialize_library(kept)
    library = KernelLibrary(codegen, symbol)
    library.enable_object_caching()
    module = library.create_ir_module(symbol)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_INT] * arguments), symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, function.args, *constants)
    builder.ret_void()
    library.add_ir_module(module)
    library.finalize()
    disk_cache.keep(places, file, pickle.dumps(library.serialize_using_object_code()))
    return library
