"""The benchmark suite: the engine's work by network and layer, timed beside its peers."""
