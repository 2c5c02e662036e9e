"""Steps as plans: capture a step's backend calls once, fuse, give every array its place in memory, replay."""
