"""bench/gpu_check.sh: what it does around its parts; the parts themselves need a GPU. A stand-in plays Python."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastconv.backends import select
from fastconv.bench.suite import CPU_ONLY
from fastconv.bench.work import FAMILIES, GROUPS

SCRIPT = Path(__file__).parents[1] / "bench" / "gpu_check.sh"
STATE = select.available()["gpu"]
# As `python`: notes how it was called, fails or waits where its arguments hold what the environment says.
STAND_IN = """#!/bin/sh
case "$*" in *'available()'*) echo ready; exit 0 ;; esac
printf '%s\\n' "$*" >>"$CALLS"
[ "${FAILS:-}" ] && case "$*" in *"$FAILS"*) echo "1 failed"; exit 1 ;; esac
[ "${WAITS:-}" ] && case "$*" in *"$WAITS"*) echo waiting; exec sleep 60 ;; esac
echo "all well"
"""

pytestmark = pytest.mark.skipif(
    not SCRIPT.exists() or not shutil.which("bash"), reason="it stands in a clone and takes bash"
)


@pytest.fixture
def machine(tmp_path):
    """The environment of a machine with a GPU, as far as the script sees; `calls` there lists what it ran."""
    for name in ("python", "compute-sanitizer", "nvidia-smi"):
        tool = tmp_path / name
        tool.write_text(STAND_IN)
        tool.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHON": str(tmp_path / "python"), "CALLS": str(tmp_path / "calls")}


def command(*arguments):
    return ["bash", str(SCRIPT), *arguments]


def run(*arguments, **environment):
    return subprocess.run(command(*arguments), env=environment or None, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(STATE == "ready", reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = run(**{**os.environ, "PYTHON": sys.executable})
    assert done.returncode == 2
    assert done.stderr.strip() == f"There is no GPU to check: {STATE}"


def test_help_names_every_part():
    done = run("--help")
    assert done.returncode == 0
    for part in ("tests", "training", "bench", "sanitizers", "--minutes", "--out"):
        assert part in done.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["--minutes", "soon"], ["--minutes", "0"]])
def test_mistakes_are_refused(arguments):
    done = run(*arguments)
    assert done.returncode == 64
    assert arguments[-1] in done.stderr


def test_every_part_runs_and_is_reported(machine, tmp_path):
    done = run("--out", str(tmp_path / "out"), **machine)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (tmp_path / "calls").read_text()
    assert "-m pytest -q -m gpu" in calls
    assert "simple_convnet" in calls
    assert "lenet5" in calls
    for precision in ("float32", "tf32", "bfloat16", "float16"):
        assert calls.count(f"--precision {precision} --peers torch,torch-graph") == 2
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        assert f"--tool {tool}" in calls
    report = (tmp_path / "out" / "gpu-check.txt").read_text()
    assert report.count("passed") == 1 + 2 + 8 + 4
    assert done.stdout.endswith(report)


def test_every_group_that_a_gpu_has_is_timed(machine, tmp_path):
    run("--out", str(tmp_path), "bench", **machine)
    calls = (tmp_path / "calls").read_text().splitlines()
    lists = [re.search(r"--precision float32 .*--groups (\S+)", call) for call in calls]
    names = [name for found in lists if found for name in found[1].split(",")]
    timed = {group for name in names for group in FAMILIES.get(name, (name,))}
    assert timed == set(GROUPS) - set(CPU_ONLY)


def test_a_failure_is_told_and_the_rest_still_runs(machine, tmp_path):
    done = run("--out", str(tmp_path), "tests", "training", **machine, FAILS="pytest")
    assert done.returncode == 1
    report = (tmp_path / "gpu-check.txt").read_text()
    assert "failed        tests" in report
    assert "1 failed" in report
    assert report.count("passed") == 2


def test_mnist_is_trained_where_its_files_are(machine, tmp_path):
    run("--out", str(tmp_path), "training", **{**machine, "FASTCONV_DATA": str(tmp_path)})
    assert (tmp_path / "calls").read_text().count("--data mnist --epochs") == 2


def test_a_missing_sanitizer_is_told(machine, tmp_path):
    (tmp_path / "compute-sanitizer").unlink()
    done = run("--out", str(tmp_path), "sanitizers", **machine)
    assert done.returncode == 1
    assert "not run       sanitizers: compute-sanitizer is not installed" in done.stdout


def heed_interrupts():
    """A suite that a shell started in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interruption_leaves_a_report(machine, tmp_path):
    process = subprocess.Popen(
        command("--out", str(tmp_path), "tests", "training"), env={**machine, "WAITS": "pytest"}, text=True,
        stdout=subprocess.PIPE, start_new_session=True, preexec_fn=heed_interrupts,
    )  # fmt: skip
    for line in process.stdout:
        if line == "waiting\n":
            break
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    report = (tmp_path / "gpu-check.txt").read_text()
    assert "interrupted   tests" in report
    assert report.count("not run") == 2
