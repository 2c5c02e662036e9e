"""What tests look for in drawn figures and written files."""

import numpy as np


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def shown(figure):
    """The images of all axes that have one, in order."""
    return [axes.images[0] for axes in figure.axes if axes.images]


def pictures(figure):
    """The same as arrays."""
    return [np.asarray(image.get_array()) for image in shown(figure)]


def texts(figure):
    """All that is written inside axes."""
    return {text.get_text() for axes in figure.axes for text in axes.texts}
