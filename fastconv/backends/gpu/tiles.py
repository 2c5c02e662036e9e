"""How a matrix product is cut: the block's tile, and into how many parts the reduction goes.

The constants of the estimate are read off the H100's data sheet and the kernels' instructions; no GPU has measured
them yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

FLOATS = 4  # bytes of the type that the large tiles are made for
LANES = 128  # multiplications a processor starts in a cycle
RESIDENT = 512  # threads that a processor holds at about 128 registers each
FILLED = 256  # threads that keep a processor busy
START = 1500  # cycles until a block multiplies, and to write its tile
ADD_PARTS = 4000  # cycles of the launch that adds the parts
BYTES_A_CYCLE = 2000  # of the whole GPU, to and from its memory
FEWEST_STEPS = 4  # of a part
MOST_PARTS = 512


@dataclass(frozen=True)
class Tile:
    """BM x BN sums of one block, TM x TN of one thread, BK steps of the reduction at a time."""

    BM: int
    BN: int
    BK: int
    TM: int
    TN: int
    rate: float  # share of the processor's multiplications that it can start, beside its reads of shared memory

    @property
    def threads(self) -> int:
        return self.BM // self.TM * (self.BN // self.TN)

    @property
    def constants(self) -> dict[str, int]:
        """What the kernel is specialised by."""
        return {name: getattr(self, name) for name in ("BM", "BN", "BK", "TM", "TN")}

    def count(self, M: int, N: int) -> int:
        """Tiles that cover M x N."""
        return -(-M // self.BM) * -(-N // self.BN)


SQUARE = Tile(128, 128, 8, 8, 8, 0.9)
TALL = Tile(128, 64, 8, 8, 8, 0.85)
MIDDLE = Tile(64, 64, 8, 8, 4, 0.7)
NARROW = Tile(128, 32, 16, 8, 4, 0.7)
SMALL = Tile(32, 32, 16, 4, 4, 0.45)
TILES = (SQUARE, TALL, MIDDLE, NARROW, SMALL)


def tiles_for(vec: int, itemsize: int, architecture: int) -> tuple[Tile, ...]:
    """The tiles whose kernels stay within their registers and shared memory.

    vec: neighbours read at once, 4 or 1; architecture as in sm_75.
    """
    if itemsize > FLOATS:
        return MIDDLE, SMALL
    if vec == 1:
        return MIDDLE, NARROW, SMALL
    return TILES if architecture >= 80 else TILES[1:]


@dataclass(frozen=True)
class Plan:
    """One launch: `parts` blocks share each tile, each over `depth` of the reduction."""

    tile: Tile
    parts: int
    depth: int


@lru_cache(maxsize=4096)
def plan(M: int, N: int, K: int, *, products: int, vec: int, itemsize: int, processors: int, architecture: int) -> Plan:
    """The cut of `products` products M x N x K side by side that should take the fewest cycles."""
    tiles = tiles_for(vec, itemsize, architecture)
    return cheapest(tiles, M, N, K, products=products, itemsize=itemsize, processors=processors)


def cheapest(
    tiles: Sequence[Tile], M: int, N: int, K: int, *, products: int, itemsize: int, processors: int, whole: bool = False
) -> Plan:
    """The same among these tiles. whole: the reduction stays in one part."""

    def cycles(cut: Plan) -> float:
        tile, steps = cut.tile, -(-cut.depth // cut.tile.BK)
        multiplying = _cycles(tile, tile.count(M, N) * products * cut.parts, steps, processors)
        moved = (cut.parts + 1) * M * N * products * itemsize
        return multiplying + (ADD_PARTS + moved / BYTES_A_CYCLE if cut.parts > 1 else 0)

    return min((cut for tile in tiles for cut in _cuts(tile, K, 1 if whole else MOST_PARTS)), key=cycles)


def _cuts(tile: Tile, K: int, most: int) -> Iterator[Plan]:
    """The whole reduction at once, or in parts of equal depth."""
    steps = max(1, -(-K // tile.BK))
    parts = 1
    while parts == 1 or (steps >= parts * FEWEST_STEPS and parts <= most):
        each = -(-steps // parts)
        yield Plan(tile, -(-steps // each), each * tile.BK)
        parts *= 2


def _cycles(tile: Tile, blocks: int, steps: int, processors: int) -> float:
    """Until the last processor has multiplied its blocks."""
    blocks = -(-blocks // processors)
    together = min(blocks, RESIDENT // tile.threads)
    work = blocks * steps * tile.BK * tile.BM * tile.BN / (LANES * tile.rate)
    return work / min(1.0, together * tile.threads / FILLED) + START * -(-blocks // together)
