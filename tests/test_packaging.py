"""What is installed: one package, all its files, what it depends on and its command."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLACES = {"fastconv": "fastconv", "fastconv/kernels": "kernels", "fastconv/bench": "bench"}
# Names that differ between the package index and the import.
IMPORTED_AS = {
    "scikit-learn": "sklearn", "lazy-loader": "lazy_loader", "pillow": "PIL",
    "cupy-cuda13x": "cupy", "cupy-cuda12x": "cupy",
}  # fmt: skip

# Imported here, and brought along by one of our dependencies.
COMES_WITH = {"llvmlite": "numba", "requests": "pooch"}


def sources(pattern="*.py"):
    """{path inside the installed package: path in the repository}"""
    return {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}": path
        for inside, folder in PLACES.items()
        for path in (ROOT / folder).rglob(pattern)
    }


def importable(requirements):
    names = (re.match(r"[A-Za-z0-9_.-]+", r).group() for r in requirements)
    names = {IMPORTED_AS.get(name, name) for name in names}
    return names | {name for name, bringer in COMES_WITH.items() if bringer in names}


def third_party(tree):
    for node in tree:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


class TestProjectFile:
    def test_packages_are_the_folders_that_exist(self):
        folders = {str(Path(inside).parent).replace("/", ".") for inside in sources()}
        assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders

    def test_every_folder_of_the_package_has_an_init(self):
        folders = {path.parent for path in sources().values()}
        assert not [str(f) for f in folders if not (f / "__init__.py").exists()]

    def test_version_is_said_once(self):
        assert fastconv.__version__ == PROJECT["project"]["version"]
        assert importlib.metadata.version("fastconv") == fastconv.__version__

    def test_command(self):
        assert PROJECT["project"]["scripts"] == {"fastconv": "fastconv.cli:main"}

    def test_imports_are_declared(self):
        core = importable(PROJECT["project"]["dependencies"])
        extras = PROJECT["project"]["optional-dependencies"]
        optional = importable(r for name in extras for r in extras[name] if not r.startswith("fastconv["))
        for inside, path in sources().items():
            if inside.startswith("fastconv/bench"):
                continue
            tree = ast.parse(path.read_text())
            at_import = set(third_party(tree.body)) - sys.stdlib_module_names - {"fastconv"}
            anywhere = set(third_party(ast.walk(tree))) - sys.stdlib_module_names - {"fastconv"}
            assert at_import <= core | ({"cupy"} if "gpu" in inside or "cuda" in inside else set()), inside
            assert anywhere <= core | optional, inside

    def test_pythons_that_are_promised(self):
        assert PROJECT["project"]["requires-python"] == ">=3.11"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources, so that building leaves nothing in the repository."""
    pytest.importorskip("setuptools", minversion="77", reason="building the wheel needs setuptools 77 or newer")
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for folder in PLACES.values():
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "README.md").write_text("fastconv")
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


class TestWheel:
    def test_holds_the_package_and_nothing_beside_it(self, wheel):
        files = set(zipfile.ZipFile(wheel).namelist())
        assert {name.split("/")[0] for name in files} == {"fastconv", f"fastconv-{fastconv.__version__}.dist-info"}
        kernels = {*sources("*.cu"), *sources("*.cuh")}
        expected = {*sources(), *sources("*.pyi"), *kernels, "fastconv/py.typed"}
        assert {name for name in files if name.startswith("fastconv/")} == expected

    def test_metadata(self, wheel):
        folder = f"fastconv-{fastconv.__version__}.dist-info"
        archive = zipfile.ZipFile(wheel)
        assert "fastconv = fastconv.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()
        metadata = archive.read(f"{folder}/METADATA").decode()
        assert "Requires-Python: >=3.11" in metadata
        for extra in ("cuda13", "cuda12", "plot", "digits", "bench", "test", "all"):
            assert f"Provides-Extra: {extra}\n" in metadata

    def test_runs_from_the_wheel(self, wheel, tmp_path):
        zipfile.ZipFile(wheel).extractall(tmp_path)
        code = (
            "import numpy as np, fastconv as fc\n"
            "fc.use('cpu')\n"
            "x, w = np.ones((1, 2, 4, 4), 'float32'), np.ones((3, 2, 3, 3), 'float32')\n"
            "print(fc.__file__, fc.functional.conv2d(x, w).numpy().sum())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(tmp_path / "fastconv" / "__init__.py"), str(3 * 4 * 18.0)]
