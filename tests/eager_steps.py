"""A training step by plain calls: what compiled steps are compared with."""

from fastconv import functional as F


def eager(model, loss, optimizer):
    """step(x, t): the loss of one forward, backward and update."""

    def step(x, t):
        optimizer.zero_grad()
        value = loss(model(x), t)
        value.backward()
        optimizer.step()
        return value

    return step


def eager_step(model, optimizer, x, t):
    """One such step with cross-entropy; its loss as a number."""
    return eager(model, F.cross_entropy, optimizer)(x, t).item()
