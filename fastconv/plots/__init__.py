"""Pictures in the lectures' style: accuracy curves, filters and templates, what layers and filters make of an image.

matplotlib is imported when the first picture is drawn. With `path` a file is written and no window opened.
"""

from .augmented import augmented
from .curves import accuracy_curve
from .filtered import filtered
from .maps import activation_maps, filter_show
from .neighbours import equal_distances, nearest_neighbours
from .sliding import pooling_window, sliding_window
from .templates import templates

__all__ = [
    "accuracy_curve", "filter_show", "activation_maps", "templates", "filtered", "sliding_window", "pooling_window",
    "nearest_neighbours", "equal_distances", "augmented",
]  # fmt: skip
