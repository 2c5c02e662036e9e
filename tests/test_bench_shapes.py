"""What the benchmark suite times: networks, layers, rows."""

import json

import pytest

from fastconv.bench import networks, shapes, work


def layer(network, name):
    return next(found for found in shapes.NETWORKS[network] if found.name == name)


class TestNetworks:
    @pytest.mark.parametrize(
        ("name", "count"),
        [("simple_convnet", 433_890), ("lenet5", 61_706), ("lenet5_cifar", 256_830), ("keras_mnist", 1_413_834)],
    )
    def test_parameters(self, name, count):
        assert sum(p.size for p in networks.parameters(networks.NETWORKS[name], seed=0)) == count

    def test_first_values_depend_on_the_seed_only(self):
        first, again, other = (networks.parameters(networks.LENET5, seed) for seed in (1, 1, 2))
        assert all((a == b).all() for a, b in zip(first, again, strict=True))
        assert (first[0] != other[0]).any()

    def test_a_training_step_is_three_passes_less_the_first_input_gradient(self):
        first = networks.SIMPLE_CONVNET
        conv, affine1, affine2 = 25 * 30 * 24 * 24, 4320 * 100, 100 * 10
        assert networks.inference_flops(first, 100) == 200 * (conv + affine1 + affine2)
        assert networks.training_flops(first, 100) == 200 * (2 * conv + 3 * (affine1 + affine2))

    @pytest.mark.parametrize("network", networks.NETWORKS.values(), ids=lambda n: n.name)
    def test_ten_scores_come_out(self, network):
        assert list(networks.steps(network, 7))[-1].y_shape == (7, 10)


class TestShapes:
    @pytest.mark.parametrize(
        ("network", "name", "x", "w", "y"),
        [
            ("alexnet", "conv1", (16, 3, 227, 227), (96, 3, 11, 11), (16, 96, 55, 55)),
            ("alexnet", "conv2", (16, 96, 27, 27), (256, 96, 5, 5), (16, 256, 27, 27)),
            ("vgg16", "conv3_2", (4, 256, 56, 56), (256, 256, 3, 3), (4, 256, 56, 56)),
            ("vgg16", "conv5_1", (4, 512, 14, 14), (512, 512, 3, 3), (4, 512, 14, 14)),
            ("googlenet", "conv1", (16, 3, 224, 224), (64, 3, 7, 7), (16, 64, 112, 112)),
            ("googlenet", "3a_5x5", (16, 16, 28, 28), (32, 16, 5, 5), (16, 32, 28, 28)),
            ("resnet18", "layer2.0.conv1", (16, 64, 56, 56), (128, 64, 3, 3), (16, 128, 28, 28)),
            ("resnet18", "layer2.0.downsample", (16, 64, 56, 56), (128, 64, 1, 1), (16, 128, 28, 28)),
            ("resnet50", "layer4.0.conv3", (16, 512, 7, 7), (2048, 512, 1, 1), (16, 2048, 7, 7)),
            ("lenet5", "c3", (100, 6, 14, 14), (16, 6, 5, 5), (100, 16, 10, 10)),
            ("keras_mnist", "conv1", (100, 1, 28, 28), (64, 1, 7, 7), (100, 64, 28, 28)),
            ("mobilenet", "dw2", (16, 64, 112, 112), (64, 1, 3, 3), (16, 64, 56, 56)),
        ],
    )
    def test_known_layers(self, network, name, x, w, y):
        g = layer(network, name).geometry
        assert (g.x_shape, g.w_shape, g.y_shape) == (x, w, y)

    @pytest.mark.parametrize(
        ("network", "name", "y"),
        [
            ("alexnet", "pool1", (16, 96, 27, 27)), ("vgg16", "pool5", (4, 512, 7, 7)),
            ("googlenet", "pool1", (16, 64, 56, 56)), ("googlenet", "pool4", (16, 832, 7, 7)),
            ("googlenet", "3a_pool", (16, 192, 28, 28)), ("resnet18", "pool1", (16, 64, 56, 56)),
            ("lenet5", "s4", (100, 16, 5, 5)),
        ],
    )  # fmt: skip
    def test_known_poolings(self, network, name, y):
        assert layer(network, name).geometry.y_shape == y

    def test_published_work_of_vgg16_and_alexnet(self):
        """VGG-16: 15.3e9 multiplications (He et al., arXiv 1512.03385, section 4.1)."""
        counted = {network: shapes.convolutions([network], quick=False) for network in ("vgg16", "alexnet")}
        # Equal shapes come once: conv3_3, conv4_3, conv5_2 and conv5_3 repeat the layer before them.
        repeats = {"conv3_2": 2, "conv4_2": 2, "conv5_1": 3}
        vgg = sum(repeats.get(x.name, 1) * x.geometry.multiplications for x in counted["vgg16"]) // 4
        alexnet = sum(x.geometry.multiplications for x in counted["alexnet"]) // 16
        assert vgg == 15_346_630_656
        assert alexnet == 1_076_634_144

    @pytest.mark.parametrize(
        ("network", "name", "kind"),
        [
            ("vgg16", "conv3_2", "3x3"), ("resnet50", "layer1.0.conv3", "1x1"), ("alexnet", "conv1", "stem"),
            ("resnet18", "layer2.0.conv1", "strided"), ("resnet18", "layer2.0.downsample", "strided"),
            ("resnet18", "conv1", "stem"), ("lenet5", "c1", "few channels"), ("lenet5", "c3", "few channels"),
            ("simple_convnet", "conv1", "few channels"),
            ("mobilenet", "dw8", "depthwise"), ("mobilenet", "dw2", "depthwise"), ("alexnet", "conv2", "5x5"),
            ("resnext50", "layer3.1.conv2", "grouped"),
        ],
    )  # fmt: skip
    def test_classes(self, network, name, kind):
        assert shapes.kind(layer(network, name).geometry) == kind

    def test_every_class_and_network_is_in_the_short_selection(self):
        quick = shapes.convolutions(shapes.NETWORKS, quick=True)
        assert {shapes.kind(x.geometry) for x in quick} == set(shapes.KINDS)
        assert {x.network for x in quick} == set(shapes.NETWORKS)

    def test_the_short_selection_names_layers_that_exist(self):
        for network, names in shapes.QUICK.items():
            assert names <= {x.name for x in shapes.NETWORKS[network]}

    @pytest.mark.parametrize("network", shapes.NETWORKS)
    def test_equal_shapes_come_once(self, network):
        found = [(x.geometry, x.pooling) for x in shapes.NETWORKS[network]]
        assert len(found) == len(set(found))


class TestWork:
    def test_keys_are_unique(self):
        keys = [w.key for w in work.select(quick=False)]
        assert len(keys) == len(set(keys))

    def test_groups_come_in_the_order_of_the_report(self):
        groups = [w.group for w in work.select()]
        assert list(dict.fromkeys(groups)) == list(work.GROUPS)

    def test_nobody_asks_for_the_gradient_of_the_images(self):
        asked = {w.title for w in work.select(["conv2d_backward_data"], quick=False)}
        assert "vgg16:conv1_2" in asked
        assert not asked & {"vgg16:conv1_1", "lenet5:c1", "resnet18:conv1", "simple_convnet:conv1"}

    def test_rows_carry_name_work_and_class(self):
        (w,) = [w for w in work.select(["conv2d_forward"]) if w.title == "vgg16:conv3_2"]
        g = layer("vgg16", "conv3_2").geometry
        assert (w.shape, w.kind, w.flops, w.bytes) == (g.name, "3x3", g.flops, g.bytes())
        assert w.reduction == 256 * 9

    def test_requests_survive_json(self):
        for w in work.select(quick=False):
            assert json.loads(json.dumps(w.request())) == w.request()

    def test_geometry_there_and_back(self):
        for x in (*shapes.convolutions(shapes.NETWORKS, False), *shapes.poolings(shapes.NETWORKS, False)):
            assert work.geometry_of(work.geometry_sizes(x.geometry)) == x.geometry
