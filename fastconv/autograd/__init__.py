"""Reverse-mode differentiation: tensors that remember how they were made."""
