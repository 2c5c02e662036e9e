"""Kernels for the CPU, compiled by Numba at first use and kept on disk."""
