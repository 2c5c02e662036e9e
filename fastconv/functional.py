"""Every differentiable operation as a function, under PyTorch's names."""

from .ops.batch_norm import batch_norm
from .ops.conv2d import col2im, conv2d, im2col
from .ops.dropout import dropout
from .ops.k_max import k_max_pool
from .ops.linear import linear
from .ops.local_response import local_response_norm
from .ops.loss import class_indices, cross_entropy, map_loss, softmax
from .ops.pointwise import leaky_relu, relu, scaled_tanh, sigmoid, tanh
from .ops.pool2d import avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d
from .ops.shape import concat, flatten, pad, reshape

__all__ = [
    "conv2d", "max_pool2d", "avg_pool2d", "global_max_pool2d", "global_avg_pool2d", "k_max_pool", "linear",
    "batch_norm", "local_response_norm", "relu", "leaky_relu", "sigmoid", "tanh", "scaled_tanh", "softmax", "dropout",
    "cross_entropy", "map_loss", "flatten", "reshape", "concat", "pad", "im2col", "col2im", "class_indices",
]  # fmt: skip
