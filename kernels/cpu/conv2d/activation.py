"""Activations of vectors, as the fused convolutions take them."""

from ..activation import NONE, ActivationVectors

__all__ = ["NONE", "ActivationVectors"]
