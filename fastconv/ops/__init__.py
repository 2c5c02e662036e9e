"""Differentiable operations, one family a file, forward and backward side by side."""
