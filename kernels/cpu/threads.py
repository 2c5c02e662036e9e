"""How many of Numba's threads the kernels use."""

import numba
from numba import config


def most_threads():
    """The size of the pool, fixed when Numba starts: NUMBA_NUM_THREADS, or one a core."""
    return config.NUMBA_NUM_THREADS


def set_threads(n):
    """Use n threads of the pool from now on, in this Python thread."""
    numba.set_num_threads(n)


def get_threads():
    """How many threads this Python thread's kernels use."""
    return numba.get_num_threads()
