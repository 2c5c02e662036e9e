"""Forward of few filters: vectors lie along the pixels of a row, each weight is one broadcast.

    y[n, oh, ow, k] = act(b[k] + sum over c, kh, kw:  x[n, c, oh + kh*DH - PH, ow + kw*DW - PW] * w[c, kh, kw, k])

6 filters would fill 6 of 16 lanes; rows of 28 pixels fill 28 of 32. An image is copied once, by channels and with
its padding, into the nearest cache. A block is some rows by VECTORS vectors of pixels by all K filters, in registers
over all taps; then K vectors of pixels are interleaved to the neighbouring elements [pixel, k] of y.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, forward, N 100, times the speed of PyTorch in the same run):
                                              tiles of pixels by channels   rows of pixels
    5x5, 1 to 6 channels, 28 x 28                    0.60                      1.86
    the same, padded                                 0.63                      2.09
    5x5, 3 to 6 channels, 32 x 32                    0.69                      1.79
"""

import numpy as np
from numba.core import cgutils

from ..forms import call_form, form_address
from ..jit import inner, kernel
from ..parallel import parallel_for
from ..simd import I64, REGISTERS, VECTOR_BYTES, Vectors, address

VECTORS = 2  # of pixels in a block
MOST_FILTERS = 8
_SUMS = 24 if REGISTERS == 32 else 12  # registers for them


def form(filters, item):
    """(rows of a block, where its code is)."""
    return _rows(filters), form_address(_emit, (filters, item), _ARGUMENTS)


def _rows(filters):
    return max(1, _SUMS // (VECTORS * filters))


_ARGUMENTS = 11


def _emit(builder, arguments, filters, item):
    """y (first pixel, step of a row), x (the same), taps (their offsets in x, how many), w [taps, K], bias [K], rows
    and pixels of a row that are left, 1 for ReLU. Addresses, and steps in bytes.
    """
    y, y_step, x, x_step, taps, count, w, bias, rows, left, relu = arguments
    block = _Block(Vectors(builder, item, VECTOR_BYTES // item), filters)
    block.start(bias)
    with cgutils.for_range(builder, count) as loop:
        offset = builder.load(block.v.at(taps, builder.mul(loop.index, I64(8))), align=8, typ=I64)
        block.step(builder.add(x, offset), x_step, builder.add(w, builder.mul(loop.index, I64(filters * item))))
    with builder.if_then(builder.icmp_unsigned("!=", relu, I64(0))):
        block.relu()
    block.write(y, y_step, rows, left)


class _Block:
    """Accumulators are stack slots, which LLVM turns into registers."""

    def __init__(self, v, filters):
        self.v, self.b, self.filters = v, v.builder, range(filters)
        self.places = [(row, part) for row in range(_rows(filters)) for part in range(VECTORS)]
        self.acc = {(place, k): cgutils.alloca_once(v.builder, v.type) for place in self.places for k in self.filters}

    def start(self, bias):
        for (_, k), slot in self.acc.items():
            self.b.store(self.v.broadcast(self.v.at(bias, k * self.v.item)), slot)

    def step(self, x, x_step, w):
        """One tap: the pixels that it meets, times its weights."""
        b, v = self.b, self.v
        bytes_of = v.lanes * v.item
        rows = [b.add(x, b.mul(x_step, I64(row))) for row, _ in self.places]
        pixels = [v.load(v.at(row, part * bytes_of)) for row, (_, part) in zip(rows, self.places, strict=True)]
        for k in self.filters:
            weight = v.broadcast(v.at(w, k * v.item))
            for place, pixel in zip(self.places, pixels, strict=True):
                slot = self.acc[place, k]
                b.store(v.multiply_add(weight, pixel, b.load(slot, typ=v.type)), slot)

    def relu(self):
        for slot in self.acc.values():
            self.b.store(self.v.relu(self.b.load(slot, typ=self.v.type)), slot)

    def write(self, y, y_step, rows, left):
        b, v = self.b, self.v
        for row, part in self.places:
            with b.if_then(b.icmp_signed("<", I64(row), rows), likely=True):
                first = part * v.lanes
                to = b.add(b.add(y, b.mul(y_step, I64(row))), I64(first * len(self.filters) * v.item))
                self._interleave([self.acc[(row, part), k] for k in self.filters], to, b.sub(left, I64(first)))

    def _interleave(self, slots, y, pixels):
        """Elements [pixel, k] from K vectors of pixels."""
        b, v, K = self.b, self.v, len(slots)
        sources, elements = [b.load(slot, typ=v.type) for slot in slots], b.mul(pixels, I64(K))
        for m in range(K):
            wanted = [divmod(m * v.lanes + lane, K) for lane in range(v.lanes)]  # pixel, k
            vector = v.shuffle(sources[0], sources[0], [pixel for pixel, _ in wanted])
            for k in range(1, K):
                lanes = [v.lanes + pixel if k == own else lane for lane, (pixel, own) in enumerate(wanted)]
                vector = v.shuffle(vector, sources[k], lanes)
            mask = v.first(b.sub(elements, I64(m * v.lanes)))
            v.store_masked(vector, v.at(y, m * v.lanes * v.item), mask)


@kernel
def conv2d_few_filters(y, x, w, bias, p):
    """Fill flat y [N, OH, OW, K] from flat x [N, H, W, C], w [C, KH, KW, K] and bias [K].

    p: (N H W C OH OW K; KH KW PH PW DH DW; 1 for ReLU; rows and address of the form).
    """
    parallel_for(_image, p[0][0], (y, x, w, bias, p))


@inner
def _image(n, y, x, w, bias, p):
    (_, _, _, C, OH, OW, K), (KH, KW, _, _, DH, DW), relu, (rows, block) = p
    item = x.itemsize
    width = VECTORS * VECTOR_BYTES // item
    # Blocks reach beyond the last row and column: what lies there is computed and not written.
    pitch = -(-OW // width) * width + (KW - 1) * DW
    height = -(-OH // rows) * rows + (KH - 1) * DH
    planes = np.zeros(C * height * pitch, x.dtype)
    _copy_image(planes, x, n, height, pitch, p)
    taps = np.empty(C * KH * KW, np.int64)
    for t in range(len(taps)):
        taps[t] = ((t // (KH * KW) * height + t // KW % KH * DH) * pitch + t % KW * DW) * item
    for oh in range(0, OH, rows):
        for ow in range(0, OW, width):
            to, own = address(y) + ((n * OH + oh) * OW + ow) * K * item, address(planes) + (oh * pitch + ow) * item
            numbers = to, OW * K * item, own, pitch * item, address(taps), len(taps), address(w), address(bias)
            call_form(block, numbers + (min(rows, OH - oh), OW - ow, relu))  # noqa: RUF005, which Numba does not know


@inner
def _copy_image(planes, x, n, height, pitch, p):
    """planes [C, height, pitch], which are 0, from x [H, W, C] as far as they reach."""
    (_, H, W, C, _, _, _), (_, _, PH, PW, _, _), _, _ = p
    for h in range(min(H, height - PH)):
        for c in range(C):
            to, own = (c * height + PH + h) * pitch + PW, (n * H + h) * W * C + c
            for column in range(min(W, pitch - PW)):
                planes[to + column] = x[own + column * C]
