"""How Numba compiles kernels here: what its own way does for code in general and kernels do not need is left out.

Numba optimises every function apart, then the module it stands in, cheaply (to remove reference counts) and in full,
makes machine code of it, and does all of this again to the copy in each of its callers, up to the kernel: a loop four
calls deep is unrolled and vectorised four times. Only the kernel's copy is ever run. Here functions inside kernels stay
as they were lowered, and the kernel that links them is optimised in full, once. What Numba allocates meanwhile is kept,
so that Python's search for cycles finds nothing: it rests.

First training step of LeNet-5, cold cache, AMD Zen 5, Numba 0.68, seconds of compilation:
    Numba's own way                                    12.4
    machine code for kernels only                       8.6
    no search for cycles                                7.6
    one optimisation                                    6.9, the steps that follow as fast as before
with the kernels of later on:
    all of Numba's steps                                4.3
    without those for what kernels never contain        4.1

A version of Numba that names the steps of a library otherwise takes them all, which costs time only.
"""

import gc
from contextlib import contextmanager

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class KernelLibrary(JITCodeLibrary):
    """A kernel with all that it calls, optimised as one."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class _InsideLibrary(KernelLibrary):
    """IR to be linked into others, as it was lowered."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


# Steps for what kernels have no use for: closures, `with`, exceptions with values, `literally`, `literal_unroll`,
# functions that Numba inlines, expressions of whole arrays.
_LEFT_OUT = {
    "WithLifting", "InlineClosureLikes", "RewriteDynamicRaises", "MakeFunctionToJitFunction", "InlineInlinables",
    "FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass", "InlineOverloads", "NopythonRewrites",
    "NoPythonSupportedFeatureValidation", "DumpParforDiagnostics",
}  # fmt: skip


class _ShortCompiler(Compiler):
    def define_pipelines(self):
        (steps,) = super().define_pipelines()
        if not self.state.flags.auto_parallel.enabled:
            steps.passes = [step for step in steps.passes if step[0].__name__ not in _LEFT_OUT]
        return [steps]


class KernelCompiler(_ShortCompiler):
    """Numba's steps with a library that is optimised once."""

    def compile_extra(self, func):
        self.state.library = KernelLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        with _no_search_for_cycles():
            return super().compile_extra(func)


class InsideCompiler(_ShortCompiler):
    """Numba's steps up to LLVM IR, for what only kernels call."""

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        flags.no_compile = True
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)

    def compile_extra(self, func):
        targetctx = self.state.targetctx
        self.state.library = _InsideLibrary(targetctx.codegen(), func.__qualname__)
        # Callers find a compiled function by its entry point, which must be of C's function type: without machine
        # code any object of that type will do that is no other function's.
        compiled = super().compile_extra(func)._replace(entry_point=object().__sizeof__)
        targetctx.insert_user_function(compiled.entry_point, compiled.fndesc, [compiled.library])
        return compiled


@contextmanager
def _no_search_for_cycles():
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
