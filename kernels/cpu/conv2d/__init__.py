"""Convolution on the CPU, channels-last: tiles through the SIMD micro-kernel, and plain loops for the rest."""

from .direct import conv2d_backward_data, conv2d_backward_weight, conv2d_forward
from .few import conv2d_few_filters
from .narrow import conv2d_backward_data_narrow
from .pixels import conv2d_weight_by_pixels
from .pooled import conv2d_pool_filters, conv2d_pool_forward
from .pooled_backward import conv2d_pool_backward, conv2d_pool_weight_of_largest
from .tiles import conv2d_tiles
from .weight import conv2d_weight_by_channels
from .weight_filters import conv2d_weight_by_filters
from .winograd import conv2d_winograd_by_filters, conv2d_winograd_by_tiles, conv2d_winograd_filters
from .winograd_weight import conv2d_winograd_weight_by_groups, conv2d_winograd_weight_by_points

__all__ = [
    "conv2d_backward_data",
    "conv2d_backward_data_narrow",
    "conv2d_backward_weight",
    "conv2d_few_filters",
    "conv2d_forward",
    "conv2d_pool_backward",
    "conv2d_pool_filters",
    "conv2d_pool_forward",
    "conv2d_pool_weight_of_largest",
    "conv2d_tiles",
    "conv2d_weight_by_channels",
    "conv2d_weight_by_filters",
    "conv2d_weight_by_pixels",
    "conv2d_winograd_by_filters",
    "conv2d_winograd_by_tiles",
    "conv2d_winograd_filters",
    "conv2d_winograd_weight_by_groups",
    "conv2d_winograd_weight_by_points",
]
