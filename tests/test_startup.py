"""Starting up: what is imported, where compiled kernels are kept, and what happens when that place is unfit.

Each process has a cache folder of its own. Most of them compile two small kernels only.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fastconv.backends import select

if select.available()["cpu"] != "ready":
    pytest.skip("the cpu backend is not ready", allow_module_level=True)

from fastconv.kernels.cpu import disk_cache, jit

ROOT = Path(__file__).parent.parent
OFF_LIMITS = ("FASTCONV_CACHE_DIR", "FASTCONV_SIMD_WIDTH", "XDG_CACHE_HOME", "NUMBA_THREADING_LAYER", "TMPDIR")

COUNT = """
import json, sys
import numpy as np
import fastconv as fc
from numba.core import event
from fastconv.kernels.cpu import jit
class Compiled(event.Listener):
    names = []
    def on_start(self, e): self.names.append(e.data["dispatcher"].py_func.__name__)
    def on_end(self, e): pass
event.register("numba:compile", Compiled())
"""
SMALL = (
    COUNT
    + """
x = fc.tensor(np.arange(-50, 50, dtype="float32").reshape(1, 1, 10, 10))
y = fc.functional.avg_pool2d(fc.functional.relu(x), 2).numpy()
print(json.dumps({"compiled": len(Compiled.names), "result": y.ravel().tolist(), "folder": str(jit.cache_folder())}))
"""
)
LENET = (
    COUNT
    + """
fc.manual_seed(1)
from fastconv.threads import set_threads
rng = np.random.default_rng(2)
x, t = rng.random((20, 1, 28, 28), dtype="float32"), np.arange(20) % 10
weights = []
for n in json.loads(sys.argv[1]):
    set_threads(n)
    fc.manual_seed(1)
    net = fc.models.LeNet5()
    step = fc.compile(net, fc.nn.CrossEntropyLoss(), fc.optim.SGD(net.parameters(), 0.1, momentum=0.9))
    losses = [float(step(x, t)) for _ in range(2)]
    weights.append([losses, *(np.asarray(a).ravel().tolist() for _, a in sorted(net.state_dict().items()))])
print(json.dumps({"compiled": len(Compiled.names), "weights": weights}))
"""
)


def environment(folder, **more):
    """This process's environment with a cache folder and a home of its own."""
    env = {name: value for name, value in os.environ.items() if name not in OFF_LIMITS}
    return {**env, "FASTCONV_CACHE_DIR": str(folder), "HOME": str(Path(folder).parent / "home"), **more}


def start(code, env, *arguments, cwd=None):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def finish(process, seconds=240):
    """What the process printed, as JSON; a process that hangs is ended and fails the test."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"the process hangs: {process.communicate()[1][-2000:]}")
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def small(folder, **more):
    return finish(start(SMALL, environment(folder, **more)))


def right(report):
    x = np.maximum(np.arange(-50, 50, dtype="float32"), 0).reshape(5, 2, 5, 2)
    np.testing.assert_array_equal(report["result"], x.mean((1, 3)).ravel())
    return report


def test_import_brings_neither_numba_nor_numpy():
    heavy = ("numpy", "numba", "llvmlite")
    code = f"import sys, json, fastconv; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    assert finish(start(code, dict(os.environ))) == []


class TestDiskCache:
    def test_the_second_process_compiles_nothing(self, tmp_path):
        first, second = (right(small(tmp_path / "cache")) for _ in range(2))
        assert first["compiled"] > 0
        assert second["compiled"] == 0
        assert second["folder"] == first["folder"]
        assert Path(first["folder"]).parent == tmp_path / "cache"

    def test_damaged_files_are_compiled_anew(self, tmp_path):
        folder = Path(right(small(tmp_path / "cache"))["folder"])
        files = sorted(folder.iterdir())
        assert len(files) >= 2
        damages = (lambda b: b[: len(b) // 2], lambda b: b[:400] + bytes([b[400] ^ 1]) + b[401:], lambda b: b"")
        for i, path in enumerate(files):
            path.write_bytes(damages[i % len(damages)](path.read_bytes()))
        assert right(small(tmp_path / "cache"))["compiled"] > 0
        assert right(small(tmp_path / "cache"))["compiled"] == 0

    def test_folders_in_place_of_files(self, tmp_path):
        folder = Path(small(tmp_path / "cache")["folder"])
        for path in list(folder.iterdir()):
            path.unlink()
            path.mkdir()
        assert right(small(tmp_path / "cache"))["compiled"] > 0

    def test_four_processes_at_once_with_an_empty_cache(self, tmp_path):
        env = environment(tmp_path / "cache")
        processes = [start(SMALL, env) for _ in range(4)]
        for process in processes:
            right(finish(process))
        assert right(small(tmp_path / "cache"))["compiled"] == 0

    def test_every_kernel_source_counts(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "cache"))
        copy = tmp_path / "cpu"
        shutil.copytree(ROOT / "kernels" / "cpu", copy, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(jit, "__file__", str(copy / "jit.py"))

        def name():
            return jit.cache_folders.__wrapped__()[-1].name

        unchanged = name()
        assert name() == unchanged
        found = {unchanged}
        for path in sorted(copy.rglob("*.py")):
            before = path.read_bytes()
            path.write_bytes(before + b"\n")
            found.add(name())
            path.write_bytes(before)
        assert len(found) == 1 + len(list(copy.rglob("*.py")))
        (copy / "simd.py").rename(copy / "simd2.py")
        assert name() not in found

    def test_the_cpu_counts(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
        here = jit.cache_folders.__wrapped__()
        monkeypatch.setattr(jit, "cpu_features", lambda: frozenset({"sse2"}))
        assert jit.cache_folders.__wrapped__() != here

    def test_the_vector_width_counts(self, tmp_path):
        code = "import json; from fastconv.kernels.cpu import jit; print(json.dumps(str(jit.cache_folder())))"
        names = {finish(start(code, environment(tmp_path / "c", **w))) for w in ({}, {"FASTCONV_SIMD_WIDTH": "128"})}
        assert len(names) == (1 if jit.vector_bytes() == 16 else 2)


class TestPrune:
    """Every version of the sources has a folder: only the newest stay."""

    def versions(self, base, count, now):
        """Folders with a file each, the first used longest ago."""
        made = [base / f"kernels-{i:016x}" for i in range(count)]
        for i, folder in enumerate(made):
            folder.mkdir(mode=0o700)
            (folder / "kernel").write_bytes(b"code")
            os.utime(folder, (now + i, now + i))
        return made

    def test_a_new_version_removes_the_ones_used_longest_ago(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
        made = self.versions(tmp_path, disk_cache.KEPT + 3, now=1_000_000)
        disk_cache.folders(made[0].name)  # used again: the newest now
        new = disk_cache.folders("kernels-ffffffffffffffff")
        assert set(tmp_path.iterdir()) == {*new, made[0], *made[5:]}
        assert len(list(tmp_path.iterdir())) == disk_cache.KEPT

    def test_nothing_else_is_touched(self, tmp_path):
        (tmp_path / "kernels").mkdir(mode=0o700)
        (tmp_path / "kernels-of-mine").mkdir(mode=0o700)
        (tmp_path / "removed-holiday").mkdir(mode=0o700)
        (tmp_path / "kernels-0000000000000000").write_text("a file")
        (tmp_path / "kernels-1111111111111111").symlink_to(tmp_path / "kernels")
        open_to_all = tmp_path / "kernels-2222222222222222"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        before = sorted(tmp_path.iterdir())
        disk_cache.prune(tmp_path, kept=0)
        assert sorted(tmp_path.iterdir()) == before

    def test_what_an_ended_process_left_of_a_removal_goes_too(self, tmp_path):
        left = tmp_path / "kernels-0000000000000000-removed-0123456789ab"
        left.mkdir(mode=0o700)
        disk_cache.prune(tmp_path)
        assert not left.exists()

    def test_eight_at_once(self, tmp_path):
        made = self.versions(tmp_path, 40, now=1_000_000)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: disk_cache.prune(tmp_path, kept=3), range(8)))
        assert sorted(tmp_path.iterdir()) == made[-3:]

    def test_a_process_whose_folder_is_gone_goes_on(self, tmp_path):
        code = SMALL.replace("x = fc.tensor(", "disk_cache.prune(jit.cache_folder().parent, kept=0)\nx = fc.tensor(")
        code = f"from fastconv.kernels.cpu import disk_cache\n{code}"
        report = right(finish(start(code, environment(tmp_path / "cache"))))
        assert report["compiled"] > 0
        assert not Path(report["folder"]).exists()


class TestPlace:
    """Where kernels are kept when the first choice is not to be had."""

    def test_a_folder_that_cannot_be_written_to(self, tmp_path):
        (tmp_path / "file").write_text("")
        blocked, own = str(tmp_path / "file" / "cache"), tmp_path / "tmp"
        own.mkdir()
        report = right(small(blocked, HOME=blocked, TMPDIR=str(own)))
        assert Path(report["folder"]).is_relative_to(own)
        assert right(small(blocked, HOME=blocked, TMPDIR=str(own)))["compiled"] == 0

    def test_no_home_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in OFF_LIMITS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does where nobody knows the user
        (folder,) = disk_cache.folders("kernels-test")
        assert folder.parent.name.startswith("fastconv-")
        assert not (tmp_path / "~").exists()

    def test_nowhere_at_all(self, monkeypatch):
        def refuse(**_):
            raise FileNotFoundError("no usable temporary folder")

        monkeypatch.setattr(disk_cache, "_bases", list)
        monkeypatch.setattr(tempfile, "mkdtemp", refuse)
        assert disk_cache.folders("kernels-test") == ()
        double = jit.njit(nogil=True)(_double)
        double._cache = disk_cache.KernelCache(_double, ())
        assert double(4) == 8

    def test_an_installation_is_never_written_to(self, tmp_path):
        site = tmp_path / "site"
        shutil.copytree(ROOT / "fastconv", site / "fastconv", ignore=shutil.ignore_patterns("__pycache__", "kernels"))
        shutil.copytree(ROOT / "kernels", site / "fastconv" / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
        for path in [site, *site.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
        before = sorted(site.rglob("*"))
        env = environment(tmp_path / "cache", PYTHONPATH=str(site), PYTHONDONTWRITEBYTECODE="1")
        code = f"{SMALL}\nassert fc.__file__.startswith({str(site)!r}), fc.__file__"
        try:
            right(finish(start(code, env, cwd=tmp_path)))
            assert sorted(site.rglob("*")) == before
        finally:
            for path in [site, *site.rglob("*")]:
                path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no owners of files")
class TestOtherUsers:
    """The files are pickles: one that somebody else could have written is never read."""

    def test_a_new_folder_is_private(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
        (folder,) = disk_cache.folders("kernels-test")
        assert folder == tmp_path / "kernels-test"
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_a_folder_that_others_may_write_to(self, tmp_path):
        folder = tmp_path / "planted"
        folder.mkdir()
        for mode in (0o777, 0o770, 0o702):
            folder.chmod(mode)
            assert not disk_cache._is_trusted(folder)
        folder.chmod(0o755)
        assert disk_cache._is_trusted(folder)

    def test_a_folder_of_somebody_else(self, tmp_path, monkeypatch):
        if os.geteuid() == 0:
            os.chown(tmp_path, 12345, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert not disk_cache._is_trusted(tmp_path)

    def test_a_link(self, tmp_path):
        (tmp_path / "own").mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(tmp_path / "own")
        assert not disk_cache._is_trusted(tmp_path / "link")

    def test_a_planted_folder_among_the_temporary_ones_is_passed_over(self, tmp_path, monkeypatch):
        for name in OFF_LIMITS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        planted = tmp_path / f"fastconv-{os.getuid()}"
        (planted / "kernels-test").mkdir(parents=True)
        planted.chmod(0o777)
        (folder,) = disk_cache.folders("kernels-test")
        assert not folder.is_relative_to(planted)
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_a_planted_folder_where_the_user_asked_is_passed_over(self, tmp_path):
        folder = Path(right(small(tmp_path / "cache"))["folder"])
        folder.chmod(0o777)
        report = right(small(tmp_path / "cache"))
        assert Path(report["folder"]) != folder
        assert report["compiled"] > 0


THREADS = (
    COUNT
    + """
import threading
def work(n):
    barrier.wait()
    x = fc.tensor(np.arange(-50, 50, dtype="float32").reshape(1, 1, 10, 10))
    results[n] = fc.functional.avg_pool2d(fc.functional.relu(x), 2).numpy().ravel().tolist()
results, barrier = {}, threading.Barrier(4)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps([results[n] for n in range(4)]))
"""
)
FORK = (
    COUNT
    + """
import os, numba
from fastconv.kernels.cpu import threads
x = np.linspace(-3, 3, 400_000, dtype="float32")
before = fc.functional.relu(fc.tensor(x)).numpy().tolist()
if numba.threading_layer() != os.environ.get("NUMBA_THREADING_LAYER", numba.threading_layer()):
    raise SystemExit("another layer than was asked for: " + numba.threading_layer())
child = os.fork()
if not child:
    os._exit(0 if fc.functional.relu(fc.tensor(x)).numpy().tolist() == before else 3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
after = fc.functional.relu(fc.tensor(x)).numpy().tolist() == before
print(json.dumps({"child": status, "parent": after}))
"""
)


def test_first_calls_from_four_python_threads_at_once(tmp_path):
    results = finish(start(THREADS, environment(tmp_path / "cache")))
    for result in results:
        right({"result": result})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("layer", ["tbb", "omp", "workqueue"])
def test_a_forked_child_computes(layer, tmp_path):
    env = environment(tmp_path / "cache", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    process = start(FORK, env)
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail("a forked child hangs")
    if process.returncode and "No threading layer could be loaded" in err:
        pytest.skip(f"Numba has no {layer} here")
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1]) == {"child": 0, "parent": True}


@pytest.mark.slow
def test_a_whole_step_whatever_the_number_of_threads_and_again_without_compiling(tmp_path):
    env = environment(tmp_path / "cache", NUMBA_NUM_THREADS="8")
    first = finish(start(LENET, env, "[1, 2, 3, 4, 8]"))
    assert all(weights == first["weights"][0] for weights in first["weights"])
    second = finish(start(LENET, env, "[2]"))
    assert second == {"compiled": 0, "weights": first["weights"][:1]}


@pytest.mark.slow
def test_narrower_vectors_give_the_same_step_within_rounding(tmp_path):
    wide, narrow = (
        finish(start(LENET, environment(tmp_path / "cache", **more), "[1]"))["weights"][0]
        for more in ({}, {"FASTCONV_SIMD_WIDTH": "128"})
    )
    assert len(wide) == len(narrow) == 11
    for a, b in zip(wide, narrow, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def _double(x):
    return 2 * x
