"""fastconv: a small, fast CNN engine. `import fastconv as fc`.

    fc.use("cpu"), fc.available()           where tensors live: "cpu", "gpu" or "reference"
    fc.data.load("digits")                  images (N, C, H, W) from 0 to 1 and their labels (N,); batches, augmentation
    fc.nn, fc.functional, fc.optim          layers, the same as functions, optimizers and schedules, by PyTorch's names
    fc.models                               whole networks, SimpleConvNet and LeNet5 to VGG16 and ResNet50
    fc.Trainer(model, optimizer).fit(...)   training with progress, checkpoints and history; fc.evaluate measures
    fc.compile(model, loss, optimizer)      one training step, or fc.compile(model) a prediction, as a fast plan
    fc.summary, fc.plots, fc.save, fc.load  looking at networks, and keeping them
    fc.filters, fc.neighbours               classic filters, nearest neighbours: what the lectures begin with
    fc.tensor, fc.Tensor, fc.no_grad        arrays with gradients; fc.Function adds an operation, fc.gradcheck checks it
    fc.lectures                             what the lectures' scripts import

The public names stand in __init__.pyi and are loaded when they are first used, so that importing the package and
asking the command line for help cost next to nothing; Numba and CuPy are not imported before a backend needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

del lazy_loader
