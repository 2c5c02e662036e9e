"""The shape of a convolution or pooling problem: the only home of output sizes and of every check on them.

Notation, unchanged in Python, Numba, CUDA, tests and benchmarks:

    N batch · C channels in · H W height and width in · OC channels out · OH OW height and width out
    KH KW kernel · SH SW stride · DH DW dilation · G groups
    PH PW padding above and left of the input · PB PR padding below and right of it

Output size on one axis (Dumoulin & Visin, arXiv 1603.07285, relationship 15), with KE = (K - 1) * D + 1:

    OH = floor((H + PH + PB - KE) / SH) + 1

Padding is an int, (height, width), (top, bottom, left, right), 'valid' (none) or 'same': OH = ceil(H / SH), with
the zeros spread as equally as possible and the odd one below and right, as TensorFlow does it for every stride.
"""

from .conv2d import Conv2dGeometry
from .local_response import LocalResponse
from .options import Padding, Size2, pair, whole_number
from .pool2d import Pool2dGeometry

__all__ = ["Conv2dGeometry", "LocalResponse", "Padding", "Pool2dGeometry", "Size2", "pair", "whole_number"]
