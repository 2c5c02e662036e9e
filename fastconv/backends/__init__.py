"""Devices behind one contract (base.py): `reference` is plain NumPy and the specification, `cpu` runs Numba kernels."""
