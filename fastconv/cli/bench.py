"""`fastconv bench`: the benchmark suite's own command."""

from ..bench.command import bench

__all__ = ["bench"]
