"""How functions that only kernels call are compiled: to LLVM IR, which the kernel that links them optimises.

By itself Numba optimises a function and makes machine code of it, then does the same again to the copy in each of its
callers, and so on up to the kernel: a loop four calls deep is unrolled and vectorised four times. Only the kernel's
copy is ever run.

First eager training step of LeNet-5, cold cache, AMD Zen 5, Numba 0.68: 12.4 s of compilation without, 8.6 s with.

A version of Numba that names the two steps of a library otherwise takes them all, which costs time only.
"""

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Library(JITCodeLibrary):
    """IR to be linked into others, as it was lowered."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class InsideCompiler(Compiler):
    """Numba's steps up to LLVM IR."""

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        flags.no_compile = True
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)

    def compile_extra(self, func):
        targetctx = self.state.targetctx
        self.state.library = _Library(targetctx.codegen(), func.__qualname__)
        # Callers find a compiled function by its entry point, which must be of C's function type: without machine
        # code any object of that type will do that is no other function's.
        compiled = super().compile_extra(func)._replace(entry_point=object().__sizeof__)
        targetctx.insert_user_function(compiled.entry_point, compiled.fndesc, [compiled.library])
        return compiled
