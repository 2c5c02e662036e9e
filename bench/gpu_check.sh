#!/usr/bin/env bash
# All that only a real NVIDIA GPU can show, in one command: tests, memory checks, training runs, times beside PyTorch.
set -uo pipefail

usage() {
    cat <<'TEXT'
Usage: bash bench/gpu_check.sh [--minutes N] [--out FOLDER] [PART ...]

Checks fastconv on the NVIDIA GPU of this machine and measures it; needs no network. Parts, all of them unless named:
  tests       the suite's tests of the gpu backend (pytest -m gpu)
  training    SimpleConvNet and LeNet-5: MNIST where FASTCONV_DATA names a folder with its files, else digits
  bench       fastconv bench --device gpu beside PyTorch, eager and as a CUDA graph, in every precision
  sanitizers  memcheck, racecheck, initcheck and synccheck of compute-sanitizer over some of the tests

  --minutes N   the time for all parts together, shared among them; 9 unless given
  --out FOLDER  where results go: a .json of times for each precision and gpu-check.txt; bench/results unless given

What is not done in its time is cut short and said. Ctrl-C ends with what there is. PYTHON chooses the interpreter.
Exit code: 0 all passed, 1 something failed or was cut short, 2 there is no GPU, 130 interrupted.
TEXT
}

cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
all=(tests training bench sanitizers)
minutes=9 out=bench/results parts=()
while (($#)); do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --minutes) minutes=${2:?--minutes needs a number} && shift 2 ;;
    --out) out=${2:?--out needs a folder} && shift 2 ;;
    tests | training | bench | sanitizers) parts+=("$1") && shift ;;
    *) echo "gpu_check.sh: there is no part or option '$1'" >&2 && usage >&2 && exit 64 ;;
    esac
done
((${#parts[@]})) || parts=("${all[@]}")
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "gpu_check.sh: --minutes takes a whole number, not '$minutes'" >&2 && exit 64; }

state=$("$python" -c 'import fastconv; print(fastconv.available()["gpu"])') || exit 1
if [[ $state != ready ]]; then
    echo "There is no GPU to check: $state" >&2
    exit 2
fi

mkdir -p "$out"
report=$out/gpu-check.txt
logs=$(mktemp -d)
interrupted='' failures=0
trap 'interrupted=yes' INT
declare -A share=([tests]=38 [training]=10 [bench]=37 [sanitizers]=15) # of the time, in percent
whole=0
for part in "${parts[@]}"; do ((whole += share[$part])); done
: >"$report"

say() { printf '%s\n' "$*" | tee -a "$report"; }
seconds_of() { echo $((minutes * 60 * share[$1] / whole)); }

# attempt NAME SECONDS COMMAND...: run it, say how it ended; its output is shown and kept.
attempt() {
    local name=$1 seconds=$2 log=$logs/${1//[^a-z0-9]/-}.log start=$SECONDS code how last
    shift 2
    if [[ $interrupted ]]; then
        say "not run       $name: interrupted" && return
    fi
    printf '\n== %s (at most %s s, %s s gone)\n' "$name" "$seconds" "$SECONDS"
    timeout --foreground --signal=INT --kill-after=60 "$seconds" "$@" 2>&1 | tee -i "$log"
    code=${PIPESTATUS[0]}
    last=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1)
    if [[ $interrupted ]]; then
        how='interrupted  '
    elif ((code == 0)); then
        how='passed       '
    elif ((code == 124 || code == 137)); then
        how='cut short    ' && ((failures++))
    else
        how='failed       ' && ((failures++))
    fi
    say "$how $name, $((SECONDS - start)) s: ${last:0:150}"
}

versions() {
    date -u '+%Y-%m-%d %H:%M UTC'
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader || true
    "$python" - <<'PYTHON'
import importlib.metadata as metadata
import platform

import cupy

import fastconv
from fastconv.backends.gpu.measure import describe

print(f"Python {platform.python_version()}, fastconv {fastconv.__version__}, CuPy {cupy.__version__}, NumPy", end=" ")
print(f"{metadata.version('numpy')}, NVRTC {'.'.join(map(str, cupy.cuda.nvrtc.getVersion()))}")
print(describe())
try:
    import torch
except ImportError:
    print("PyTorch is not installed: nothing stands beside the times")
else:
    print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
PYTHON
}

tests() {
    local jobs
    jobs=$(nproc)
    attempt 'tests' "$(seconds_of tests)" "$python" -m pytest -q -m gpu -n $((jobs < 8 ? jobs : 8)) tests
}

training() {
    local data=digits epochs=() seconds name
    if [[ ${FASTCONV_DATA:-} ]]; then
        data=mnist epochs=(--epochs 3)
    fi
    seconds=$(($(seconds_of training) / 2))
    for name in simple_convnet lenet5; do
        attempt "training of $name on $data" "$seconds" "$python" -c "$LEARNS" "$name" --data "$data" "${epochs[@]}"
    done
}
# What `fastconv train` prints, and whether the network has learned.
LEARNS='
import re, subprocess, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "fastconv", "train", *sys.argv[1:], "--backend", "gpu", "--out", folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
print(done.stdout)
found = re.search(r"test accuracy: ([0-9.]+)", done.stdout)
if done.returncode or not found or float(found[1]) < 97:
    sys.exit(f"{sys.argv[1]} did not learn: 97 % are expected")
print(found[0], "%")
'

bench() {
    local seconds precision groups first
    seconds=$(($(seconds_of bench) / 8))
    first=$logs/first.json
    for precision in float32 tf32 bfloat16 float16; do
        groups=steps
        [[ $precision == float32 ]] && groups=steps,pool,pointwise,norm,update
        rm -f "$first"
        attempt "bench of steps in $precision" "$seconds" "$python" -m fastconv bench --device gpu \
            --precision "$precision" --peers torch,torch-graph --groups "$groups" --json "$first"
        [[ -e $first ]] && earlier=(--add "$first") || earlier=()
        attempt "bench of layers in $precision" "$seconds" "$python" -m fastconv bench --device gpu \
            --precision "$precision" --peers torch,torch-graph --groups conv,matmul "${earlier[@]}" \
            --json "$out" --readme README.md
    done
}

sanitizers() {
    local tool seconds
    if ! command -v compute-sanitizer >/dev/null; then
        say 'not run       sanitizers: compute-sanitizer is not installed (it comes with the CUDA toolkit)'
        ((failures++))
        return
    fi
    seconds=$(($(seconds_of sanitizers) / 4))
    for tool in memcheck racecheck initcheck synccheck; do
        attempt "$tool" "$seconds" compute-sanitizer --tool "$tool" --error-exitcode 9 "$python" -c "$WITHOUT_POOL" \
            -q -x -p no:xdist -m gpu -k 'not layers' tests/test_gpu_kernels.py tests/test_gpu_training.py
    done
}
# pytest with every array an allocation of its own: inside a pool nobody sees an access beyond an array.
WITHOUT_POOL='
import sys, cupy, pytest
cupy.cuda.set_allocator(None)
sys.exit(pytest.main(sys.argv[1:]))
'

versions 2>&1 | tee -a "$report"
for part in "${parts[@]}"; do "$part"; done
printf '\n== %s s; %s; whole logs in %s\n' "$SECONDS" "$report" "$logs"
cat "$report"
[[ $interrupted ]] && exit 130
((failures == 0))
