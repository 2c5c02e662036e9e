"""The specification: every operation in plain NumPy, close to its formula; slow and short on purpose."""

from .batch_norm import ReferenceBatchNorm
from .conv2d import ReferenceConv2d
from .k_max import ReferenceKMax
from .linear import ReferenceLinear
from .local_response import ReferenceLocalResponse
from .loss import ReferenceLoss
from .pointwise import ReferencePointwise
from .pool2d import ReferencePool2d
from .update import ReferenceUpdate


class ReferenceBackend(
    ReferenceConv2d,
    ReferencePool2d,
    ReferenceKMax,
    ReferenceLinear,
    ReferencePointwise,
    ReferenceBatchNorm,
    ReferenceLocalResponse,
    ReferenceLoss,
    ReferenceUpdate,
):
    """Plain NumPy, float32 and float64."""

    name = "reference"
