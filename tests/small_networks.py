"""Options with which the networks of `fc.models` are small enough for tests; one without an entry is so by itself."""

THIN = {"width": 1 / 16, "output_size": 10, "dropout": 0}
VGG = {"input_dim": (3, 32, 32)} | THIN
RESNET = {"input_dim": (3, 32, 32), "width": 1 / 16, "output_size": 10}

SMALL_NETWORKS = {
    "simple_convnet": {"weight_init_std": "he"},
    "keras_mnist": {"input_dim": (1, 16, 16), "dropout": 0},
    "alexnet": {"input_dim": (3, 32, 32), "stride": 1, "groups": 2} | THIN,
    "zfnet": {"input_dim": (3, 63, 63)} | THIN,
    "vgg11": VGG,
    "vgg13": VGG | {"head": "average"},
    "vgg16": VGG,
    "vgg19": VGG | {"width": 1 / 8},
    "googlenet": {"input_dim": (3, 47, 47)} | THIN,
    "resnet18": RESNET,
    "resnet34": RESNET,
    "resnet50": RESNET,
    "resnet101": RESNET,
    "resnet152": RESNET,
    **{f"resnet{depth}": {"input_dim": (3, 8, 8), "width": 1 / 4} for depth in (20, 32, 44, 56, 110)},
    "alphago": {"input_dim": (4, 5, 5), "filters": 16, "convolutions": 3},
}

# The same classes as their smaller siblings with more layers: tests build them and do not run them.
DEEP = ("resnet34", "resnet101", "resnet152", "resnet32", "resnet44", "resnet56", "resnet110")
