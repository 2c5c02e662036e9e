"""Imports flow one way, and importing the package costs next to nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for folder in ("fastconv", "kernels", "bench") for p in (ROOT / folder).rglob("*.py"))

# Each layer may import itself and every layer above it. Where a module stands in two lists the longest name counts.
LAYERS = [
    ("errors", "geometry", "tables", "version"),
    ("kernels",),
    ("backends",),
    ("random", "threads", "pickles"),
    ("autograd",),
    ("ops", "functional"),
    ("nn", "optim", "data"),
    ("tensor_files", "json_files", "lecture_files", "filters", "neighbours"),
    ("models",),
    ("compiler", "training", "checkpoint", "plots", "receptive_field", "summary", "warmup"),
    ("lectures",),
    ("cli", "bench"),
    ("__main__",),
]
PUBLIC = (
    "use", "available", "tensor", "Tensor", "no_grad", "functional", "nn", "optim", "models", "data", "gradcheck",
    "im2col", "col2im", "manual_seed", "FastconvError", "ShapeError", "ArgumentError", "DTypeError", "BackendError",
    "UnsupportedError", "DataError", "set_threads", "get_threads", "set_precision", "get_precision", "set_winograd",
    "get_winograd", "compile", "Trainer", "summary", "save", "load",
)  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def module_name(path):
    """The name under which a source file is imported."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] in ("kernels", "bench"):
        parts.insert(0, "fastconv")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    """(absolute name, is it relative) of every import in a file, wherever in the file it stands."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [*base, node.module] if node.module else base
            yield ".".join(names), bool(node.level)
            if not node.module or names == ["fastconv"]:
                yield from ((".".join([*names, alias.name]), bool(node.level)) for alias in node.names)


def layer(name):
    """The first part of a module's name inside the package, '' for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "fastconv" and len(parts) > 1 else ""


def all_imports():
    return [(path, name, relative) for path in SOURCES for name, relative in imports(path)]


def users_of(library):
    return {
        str(path.relative_to(ROOT))
        for path, name, _ in all_imports()
        if name == library or name.startswith(library + ".")
    }


class TestOneWay:
    def test_every_module_has_its_layer(self):
        unknown = {
            module_name(p) for p in SOURCES if layer(module_name(p)) not in LEVEL and module_name(p) != "fastconv"
        }
        assert not unknown, "say in LAYERS where these stand"

    @pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
    def test_nothing_imports_a_later_layer(self, path):
        own = layer(module_name(path))
        if not own:
            return
        for name, _ in imports(path):
            other = layer(name)
            assert not other or other not in LEVEL or LEVEL[other] <= LEVEL[own], f"{own} imports {name}"

    def test_kernels_import_nothing_of_the_package_and_each_other_relatively(self):
        for path, name, relative in all_imports():
            if path.is_relative_to(ROOT / "kernels"):
                if name.split(".")[0] == "fastconv":
                    assert name.startswith("fastconv.kernels"), path
                    assert relative, path
                assert name.split(".")[0] != "kernels", path

    def test_nobody_imports_kernels_or_bench_as_top_level_packages(self):
        assert not users_of("kernels")
        assert not users_of("bench")

    @pytest.mark.parametrize(
        ("one", "other"), [("cpu", "gpu"), ("gpu", "cpu"), ("reference", "cpu"), ("reference", "gpu")]
    )
    def test_backends_do_not_import_each_other(self, one, other):
        theirs = (f"fastconv.backends.{other}", f"fastconv.kernels.{'cuda' if other == 'gpu' else other}")
        for path, name, _ in all_imports():
            if one != other and module_name(path).startswith(f"fastconv.backends.{one}"):
                assert not name.startswith(theirs), path

    def test_no_module_goes_through_the_public_names(self):
        inside = [path for path, name, relative in all_imports() if name == "fastconv" and not relative]
        assert all(layer(module_name(path)) in ("cli", "bench", "__main__") for path in inside), inside

    def test_numba_stays_in_the_cpu_kernels(self):
        assert all(path.startswith("kernels/cpu/") for path in users_of("numba") | users_of("llvmlite"))
        assert "kernels/cpu/jit.py" in users_of("numba")

    def test_cupy_stays_in_the_gpu_backend(self):
        allowed = ("fastconv/backends/gpu", "kernels/cuda/load.py")
        assert all(path.startswith(allowed) for path in users_of("cupy"))

    def test_torch_is_imported_by_benchmarks_only(self):
        assert all(path.startswith("bench/") for path in users_of("torch") | users_of("jax") | users_of("onnxruntime"))

    def test_files_have_names_that_say_something(self):
        hiding = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "tools", "stuff"}
        everything = [*SOURCES, *(ROOT / "tests").rglob("*.py")]
        assert not [p for p in everything if hiding & {p.stem, *p.relative_to(ROOT).parts}]

    def test_the_witness_shares_nothing_with_what_it_checks(self):
        tree = ast.parse((ROOT / "tests" / "reference.py").read_text())
        names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        assert names == {"numpy"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestImportIsLight:
    def test_neither_numba_nor_cupy_nor_torch_before_a_backend_needs_them(self):
        heavy = ["numba", "cupy", "torch", "llvmlite", "matplotlib", "sklearn", "scipy", "rich", "typer", "pooch"]
        loaded = run_python(f"import sys, fastconv; print([m for m in {heavy} if m in sys.modules])")
        assert loaded.strip() == "[]"

    def test_the_reference_backend_needs_no_numba(self):
        code = (
            "import sys; sys.modules['numba'] = sys.modules['cupy'] = None\n"
            "import numpy as np, fastconv as fc\n"
            "fc.use('reference')\n"
            "print(fc.functional.relu(fc.tensor(np.array([-1.0, 2.0]))).numpy().tolist())"
        )
        assert run_python(code).strip() == "[0.0, 2.0]"

    def test_kernels_are_never_loaded_under_a_second_name(self):
        code = (
            "import sys, numpy as np, fastconv as fc\n"
            "fc.use('cpu'); fc.functional.relu(fc.tensor(np.array([-1.0, 2.0])))\n"
            "second = [m for m in sys.modules if m.split('.')[0] in ('kernels', 'bench')]\n"
            "print('fastconv.kernels.cpu.jit' in sys.modules, second)"
        )
        assert run_python(code).strip() == "True []"

    def test_public_names(self):
        import fastconv as fc

        for name in PUBLIC:
            assert hasattr(fc, name), name
            assert name in dir(fc)
