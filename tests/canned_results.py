"""A run of the benchmark suite with given numbers."""

from fastconv.bench import work
from fastconv.bench.measure import Row, Timing
from fastconv.bench.peak import Limits
from fastconv.bench.peers import ENGINE
from fastconv.bench.results import Results

LIMITS = Limits({1: 100.0, 2: 200.0}, {2**15: 400.0, 2**21: 200.0, 2**28: 50.0}, 2)
MACHINE = {
    "processor": "Test CPU 1", "cores": 2, "vector_bits": 256, "features": ["avx2", "fma"],
    "system": "Linux x86_64", "python": "3.11.0", "date": "2026-01-01",
}  # fmt: skip


def a_work(group="conv2d_forward", kind="3x3", layer="conv1", flops=10**9, size=10**6, sizes=None):
    return work.Work(
        group=group, operation=group, network="vgg16", layer=layer, kind=kind, shape="mb1", sizes=sizes or {},
        flops=flops, bytes=size,
    )  # fmt: skip


def timing(seconds, **more):
    return Timing(seconds, seconds, 7, **more)


def some_results():
    rows = [
        Row(a_work(), {ENGINE: timing(0.010, note="tiles"), "torch": timing(0.020, variant="NCHW")}),
        Row(a_work(layer="conv2"), {ENGINE: timing(0.010), "torch": timing(0.005)}, {"numpy": "too slow"}),
        Row(a_work(kind="1x1", layer="conv3"), {ENGINE: timing(0.004), "torch": timing(0.012)}),
        Row(
            a_work(group="training_step", kind="batch 100", layer="LeNet-5", sizes={"network": "lenet5", "N": 100}),
            {ENGINE: timing(0.001), "torch": timing(0.006)},
        ),
    ]
    return Results(MACHINE, LIMITS, {"rounds": 7}, rows, {"fastconv": "0.1.0"}, {"jax": "jax is not installed"})


def gpu_results():
    """A run on a graphics processor."""
    machine = {
        "processor": "Test GPU 2", "cores": 100, "architecture": "sm_90", "cuda": "13.0", "driver": "13.1",
        "system": "Linux x86_64", "python": "3.11.0", "date": "2026-01-01",
    }  # fmt: skip
    limits = Limits({1: 60000.0}, {2**21: 9000.0, 2**30: 3000.0}, 1)
    rows = [Row(a_work(flops=3 * 10**11), {ENGINE: timing(0.010), "torch": timing(0.020)})]
    return Results(machine, limits, {"device": "gpu", "precision": "tf32"}, rows, {"cupy": "14.0"})
