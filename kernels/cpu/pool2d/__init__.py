"""Max and average pooling, forward and backward, over channels-last memory.

    max   y[n, oh, ow, c] = max over the taps (kh, kw) inside the input of
                            x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]
          argmax = kh * KW + kw of the first such maximum; a NaN is larger than everything, padding never counts
    avg   y = sum of the same taps / divisor(oh, ow), the number of taps that count

x [N, H, W, C], y and argmax [N, OH, OW, C], given flat. One chunk owns some rows of the result; one step takes a vector
of channels of one window and keeps it in registers. Backward writes rows of dx: each asks the windows over it, in the
order of oh, ow, so that no two threads meet and sums do not depend on them. Windows side by side store each pixel once;
overlapping ones add to a row that was cleared and is still in the first cache.

`p` is (N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW); `padded` is the (H, W) that divisors count in, or (0, 0)
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
Helpers that took arrays counted references: two threads were then three times slower than one. Rejected: a gather of
each pixel's windows for overlapping ones (two divisions a pixel cost more than its sums); one loop over the columns of
a window in place of unrolled pairs (max backward 1.2 to 1.4 times slower); pairs optimised in their kernel only (1.2 to
1.5 times slower below 16 channels). A path for side-by-side windows that leave gaps or meet padding on the left cost
0.1 s of compilation and goes the way of overlapping ones. Cold compilation of all four: 3.5 s, now 1.9 s.
"""

from .average import avg_pool2d_backward, avg_pool2d_forward
from .maximum import max_pool2d_backward, max_pool2d_forward

__all__ = ["avg_pool2d_backward", "avg_pool2d_forward", "max_pool2d_backward", "max_pool2d_forward"]
