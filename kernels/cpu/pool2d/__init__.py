"""Max and average pooling, forward and backward, over channels-last memory.

    max   y[n, oh, ow, c] = max over the taps (kh, kw) inside the input of
                            x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]
          argmax = kh * KW + kw of the first such maximum; a NaN is larger than everything, padding never counts
    avg   y = sum of the same taps / divisor(oh, ow), the number of taps that count

x [N, H, W, C], y and argmax [N, OH, OW, C], given flat. One chunk owns some rows of the result; one step takes a vector
of channels of one window and keeps it in registers. Forward takes the windows of a row that lie whole inside x in one
run, compiled for 2x2 and 3x3. Backward writes rows of dx, so that no two threads meet; a pixel's sum is in the order of
oh, ow. maximum_backward.py and average_backward.py name their ways.

`p` is (N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW). `padded` is the (H, W) that divisors count in, or (0, 0)
for the input's own.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, microseconds; forward / backward):
                                        max 2x2/2, 100x30x24x24   max 2x2/2, 100x6x28x28   max 3x3/2, 16x96x55x55
    loops over channels, by LLVM             732 / 886                516 / 1142              2274 / 964
    vectors in registers, masked loads       114 / 272                 84 /  275               563 / 762
    plain loads inside the memory,
      windows of 2x2 and 3x3 unrolled         85 /   -                 64 /    -               255 /   -
    backward by rows, without divisions,
      pairs unrolled                           - /  68                  - /   47                 - / 480
    PyTorch 2.13                             441 / 173                473 /   54               729 / 810
(The third and fourth row time the kernel alone, the others with the backend's checks, about 3 us.)
On another day, all with the checks:      the row above      now      PyTorch 2.13
    max 3x3/2, 100x6x28x28                  88 /  395      66 /   52      752 /   46    backward: scattered
    max 3x3/2, 100x3x32x32                 114 /  514      83 /   54      763 /   32    "
    max 3x3/1, 100x1x28x28, padding 1      434 / 1863     331 /   95      667 /   43    "
    max 3x3/1, 16x192x28x28, padding 1     600 /  851     446 /  615     1604 / 1358    backward: gathered
    max 3x3/2, 16x64x112x112, padding 1   1643 / 2151    1716 / 1606     2435 / 3167    " (memory: 42 GB/s of 53)
    avg 3x3/1, 16x64x56x56, padding 1     1149 / 2356     909 /  672     1314 / 1395    "
    avg 3x3/2, 100x3x32x32, padding 1      187 /  617      99 /  373      256 /  246    "
    avg 2x2/2, 100x6x28x28                  92 /   57      46 /   50      225 /  155    whole windows in one run
    avg 7x7, 16x2048x7x7                   156 /   45      61 /   47       47 /  320    4 vectors together over the taps
On a third day, whole calls in turn:        before      now      PyTorch 2.13
    max 3x3/2, 16x96x55x55                     267      243      643    the greatest first, then its place
    max 3x3/1, 16x192x28x28, padding 1         530      492     1240    "
    max 3x3/2, 16x64x112x112, padding 1       1713     1412     2929    "
    max 2x2/2, 4x128x112x112                   264      236      479    "
    avg 7x7, 16x1024x7x7                  19 to 37       19       24    sums in y, pixel by pixel, loads unchecked
(The average's time before varied from process to process; why was not found out. A row of its taps summed in registers,
added to y once: 24 to 30.)
(Figures of this machine differ by a fifth from run to run.)
Helpers that took arrays counted references: two threads were then three times slower than one, and lists of windows in
arrays cost more than the sums. Rejected: one loop over the columns of a window in place of unrolled pairs (max backward
1.2 to 1.4 times slower); pairs optimised in their kernel only (1.2 to 1.5 times slower below 16 channels); whole stores
that the next pixel overwrites, in place of masked ones (pairs 1.25 times slower: they lie across cache lines);
scattering many channels (128: ten times slower, every element another cache line).
"""

from .average import avg_pool2d_forward
from .average_backward import avg_pool2d_backward
from .maximum import max_pool2d_forward
from .maximum_backward import max_pool2d_backward

__all__ = ["avg_pool2d_backward", "avg_pool2d_forward", "max_pool2d_backward", "max_pool2d_forward"]
