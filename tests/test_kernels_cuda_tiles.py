"""How products are cut into tiles on the GPU, the banks that a tile meets, and the quotients that find its elements."""

from dataclasses import dataclass

import numpy as np
import pytest
from cuda_emulator.build import compiler
from cuda_emulator.device import EmulatedDevice
from hypothesis import given
from hypothesis import strategies as st

from fastconv.backends.gpu.tiles import MIDDLE, SMALL, SQUARE, TILES, Plan, plan, tiles_for
from fastconv.kernels.cuda.source import source

WARP, BANKS, PAD = 32, 32, 4
sizes = st.integers(1, 5000)


class TestPlan:
    @given(M=sizes, N=sizes, K=st.integers(0, 100_000), products=st.integers(1, 64), vec=st.sampled_from((1, 4)))
    def test_parts_cover_the_reduction_once(self, M, N, K, products, vec):
        cut = plan(M, N, K, products=products, vec=vec, itemsize=4, processors=132, architecture=90)
        assert cut.tile in tiles_for(vec, 4, 90)
        assert cut.depth % cut.tile.BK == 0
        assert (cut.parts - 1) * cut.depth < max(K, 1) <= cut.parts * cut.depth

    def test_few_results_of_many_terms_are_cut_and_many_are_not(self):
        gpu = {"products": 1, "vec": 4, "itemsize": 4, "processors": 132, "architecture": 90}
        assert plan(100, 100, 4320, **gpu).parts > 1
        assert plan(32, 288, 100 * 28 * 28, **gpu).parts > 8
        assert plan(4096, 4096, 4096, **gpu) == Plan(SQUARE, 1, 4096)

    def test_registers_below_sm_80_and_double_take_smaller_tiles(self):
        assert SQUARE not in tiles_for(4, 4, 75)
        assert tiles_for(4, 8, 90) == (MIDDLE, SMALL)


@dataclass(frozen=True)
class Quotients:
    """q and r of n by d, as division.cuh finds them."""

    name = file = "quotients"
    options = ()

    @property
    def source(self):
        kernel = """
        extern "C" __global__ void quotients(int *q, int *r, const int *n, const int *d) {
            const Quotient found = divided(n[first_element()], divisor(d[first_element()]));
            q[first_element()] = found.whole, r[first_element()] = found.rest;
        }"""
        return source("conv2d_depthwise") + kernel


@pytest.mark.skipif(compiler() is None, reason="g++, which builds the kernels for the CPU, is not installed")
def test_quotients_are_exact():
    rng, most = np.random.default_rng(0), 2**31 - 1
    d = np.concatenate([[1, 1, 2, 3, 7, most, most, 2**30], rng.integers(1, most, 500), rng.integers(1, 200, 500)])
    n = np.concatenate([[0, most, most, most, most, most, 0, most], rng.integers(0, most, 1000)])
    n[8:500] = n[8:500] // d[8:500] * d[8:500] - rng.integers(0, 2, 492)  # at the edge between two quotients
    n, d = (np.ascontiguousarray(np.maximum(a, 0), np.int32) for a in (n, d))
    device = EmulatedDevice()
    q, r = device.empty(n.shape, "int32"), device.empty(n.shape, "int32")
    device.launch(Quotients(), (len(n) // 16,), (16,), (q, r, n, d))
    np.testing.assert_array_equal(q, n // d)
    np.testing.assert_array_equal(r, n % d)


def conflicts(words):
    """How many different words of a warp's 4-byte accesses meet in the fullest bank."""
    return max(np.bincount(np.unique(words) % BANKS, minlength=BANKS))


@pytest.mark.parametrize("tile", TILES, ids=[f"{t.BM}x{t.BN}x{t.BK}" for t in TILES])
def test_banks_of_shared_memory(tile):
    """What the header of tiles.cuh says of them, from the same formulas."""
    thread = np.arange(WARP)
    for width in (tile.BM, tile.BN):
        turned = thread % (tile.BK // 4) * 4 * (width + PAD) + thread // (tile.BK // 4)
        assert conflicts(turned) == (1 if tile.BK == 8 else 2)
    for start in (thread // 8 * 4, thread % 8 * 4):
        assert conflicts((start[:, None] + np.arange(4)).reshape(-1)) == 1
