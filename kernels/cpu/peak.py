"""What the machine itself can do, as the benchmarks' yardstick: multiply-adds in registers, and copies.

    fma_loop    chains of multiply-adds that never leave the registers, FLOPS operations an iteration and thread
    copy        y[i] = x[i], cut into one piece a thread, again and again; with stores through the caches, or past them
                (streaming), which saves reading the target first: 2.5 times the speed far beyond the last cache

12 chains hide the latency of two multiply-add pipes (4 cycles each) and fit into the 16 registers of AVX2.
"""

from numba import float32, int64, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import parallel_kernel
from .simd import I32, I64, VECTOR_BYTES, Vectors, address

CHAINS = 12
LANES = VECTOR_BYTES // 4
FLOPS = 2 * CHAINS * LANES


@intrinsic
def fma_chains(typingctx, iterations, factor, term):
    """chain = chain * factor + term in CHAINS vectors at once; the sum of their first lanes."""

    def codegen(context, builder, signature, args):
        v = Vectors(builder, 4, LANES)
        count, *scalars = args
        factor, term = (_in_every_lane(v, s) for s in scalars)
        chains = [cgutils.alloca_once_value(builder, term) for _ in range(CHAINS)]
        with cgutils.for_range(builder, count):
            for chain in chains:
                builder.store(v.multiply_add(builder.load(chain, typ=v.type), factor, term), chain)
        total = builder.load(chains[0], typ=v.type)
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain, typ=v.type))
        return builder.extract_element(total, I32(0))

    return types.float32(iterations, factor, term), codegen


def _in_every_lane(v, scalar):
    slot = cgutils.alloca_once_value(v.builder, scalar)
    return v.broadcast(slot)


@parallel_kernel
def fma_loop(sums, iterations, factor, term):
    """One run of the chains for each element of sums [threads]."""
    for t in prange(sums.size):
        sums[t] = fma_chains(int64(iterations), float32(factor), float32(term))


@intrinsic
def copy_vectors(typingctx, target, source, vectors, streaming):
    """Copy whole vectors between addresses that are multiples of a vector's size."""

    def codegen(context, builder, signature, args):
        v = Vectors(builder, 4, LANES)
        target, source, count, streaming = args
        with builder.if_else(builder.icmp_signed("!=", streaming, streaming.type(0))) as (past, through):
            for way, metadata in ((past, builder.module.add_metadata([I32(1)])), (through, None)):
                with way, cgutils.for_range(builder, count) as loop:
                    offset = builder.mul(loop.index, I64(VECTOR_BYTES))
                    store = builder.store(v.load(v.at(source, offset)), v.at(target, offset), align=VECTOR_BYTES)
                    if metadata:
                        store.set_metadata("nontemporal", metadata)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@parallel_kernel
def copy(y, x, pieces, times, streaming):
    """y [n] = x [n], `times` over; piece t is copied by one thread. n / pieces must be whole vectors, both aligned."""
    vectors = x.size // pieces // LANES
    for t in prange(pieces):
        offset = int64(t) * vectors * VECTOR_BYTES
        for _ in range(times):
            copy_vectors(address(y) + offset, address(x) + offset, int64(vectors), int64(streaming))
