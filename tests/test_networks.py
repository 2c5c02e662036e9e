"""The networks that the lectures tell of: sizes and parameter counts of the papers, and that they run and learn."""

import numpy as np
import pytest
from small_networks import DEEP, SMALL_NETWORKS

import fastconv as fc
from fastconv.models import MODELS, build, cifar_resnet

# Parameters: as torchvision documents them (VGG, ResNet), as Caffe's model zoo has them (AlexNet in two groups,
# GoogLeNet without its auxiliary classifiers), or by the papers' tables (the rest).
PARAMETERS = {
    ("alexnet", ()): 62_378_344,
    ("alexnet", (("groups", 2),)): 60_965_224,
    ("zfnet", ()): 107_627_624,
    ("zfnet", (("filters", (384, 384, 256)),)): 62_357_608,
    ("vgg11", ()): 132_863_336,
    ("vgg13", ()): 133_047_848,
    ("vgg16", ()): 138_357_544,
    ("vgg19", ()): 143_667_240,
    ("vgg16", (("head", "average"),)): 14_714_688 + 513_000,
    ("googlenet", ()): 6_998_552,
    ("resnet18", ()): 11_689_512,
    ("resnet34", ()): 21_797_672,
    ("resnet50", ()): 25_557_032,
    ("resnet101", ()): 44_549_160,
    ("resnet152", ()): 60_192_808,
    ("resnet20", ()): 269_722,
    ("resnet32", ()): 464_154,
    ("resnet44", ()): 658_586,
    ("resnet56", ()): 853_018,
    ("resnet110", ()): 1_727_962,
    ("alphago", ()): 3_882_793,
}


def sizes_only(name, **options):
    """The network without memory for its parameters."""
    with fc.nn.init.unset():
        return build(name, options)


def shapes(network, *kinds):
    """Output shapes of the layers of these kinds, in order."""
    return [row.shape for row in fc.summary(network, network.config["input_dim"]).rows if row.kind in kinds]


@pytest.mark.parametrize(("name", "options"), PARAMETERS, ids=str)
def test_parameter_counts_are_the_published_ones(name, options):
    network = sizes_only(name, **dict(options))
    assert sum(p.size for p in network.parameters()) == PARAMETERS[name, options]


class TestAlexNet:
    def test_every_row_of_the_lectures_table(self):
        network = sizes_only("alexnet")
        rows = {row.name: row.shape for row in fc.summary(network, (3, 227, 227)).rows}
        expected = {
            "c1": (96, 55, 55), "s2": (96, 27, 27), "c3": (256, 27, 27), "s4": (256, 13, 13), "c5": (384, 13, 13),
            "c6": (384, 13, 13), "c7": (256, 13, 13), "s8": (256, 6, 6), "f9": (4096,), "f10": (4096,),
            "output": (1000,),
        }  # fmt: skip
        assert {name: rows[name] for name in expected} == expected

    def test_the_first_layer_has_34848_weights_and_pooling_none(self):
        network = sizes_only("alexnet")
        assert network.c1.weight.size == 11 * 11 * 3 * 96 == 34_848
        assert not network.s2.parameters()

    def test_the_two_halves_of_a_group_do_not_see_each_other(self):
        network = build("alexnet", SMALL_NETWORKS["alexnet"])
        before = network.s4(network.c3(np.zeros((1, 6, 10, 10), "float32"))).numpy()
        half = np.zeros((1, 6, 10, 10), "float32")
        half[:, :3] = 1
        changed = network.s4(network.c3(half)).numpy() != before
        assert changed[:, :8].any()
        assert not changed[:, 8:].any()

    def test_responses_are_normalised_as_the_paper_has_it(self, backend):
        """b[i] = a[i] / (2 + 0.0001 sum of a[j]^2)^0.75 over the five maps around i (section 3.3)."""
        with fc.use(backend.name):
            network = build("alexnet", SMALL_NETWORKS["alexnet"] | {"lrn": True})
            a = 100 * np.random.default_rng(0).random((1, 6, 3, 4), "float32")
            b = network.norm1(a).numpy()
        around = [np.square(a[:, max(i - 2, 0) : i + 3], dtype="float64").sum(1) for i in range(6)]
        np.testing.assert_allclose(b, a / (2 + 1e-4 * np.stack(around, 1)) ** 0.75, rtol=1e-5)
        kinds = [type(layer).__name__ for layer in network.layers.values()]
        assert [i for i, kind in enumerate(kinds) if kind == "LocalResponseNorm"] == [2, 6]
        assert kinds[3] == kinds[7] == "MaxPool2d"


def test_zfnet_has_the_sizes_of_its_papers_figure_3():
    assert shapes(sizes_only("zfnet"), "Conv2d", "MaxPool2d", "Linear") == [
        (96, 110, 110), (96, 55, 55), (256, 26, 26), (256, 13, 13), (512, 13, 13), (1024, 13, 13), (512, 13, 13),
        (512, 6, 6), (4096,), (4096,), (1000,),
    ]  # fmt: skip


def test_vgg16_halves_its_maps_five_times_and_has_16_layers_with_weights():
    network = sizes_only("vgg16")
    assert shapes(network, "MaxPool2d") == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert len(shapes(network, "Conv2d", "Linear")) == 16
    convolutions = [layer for layer in network.layers.values() if isinstance(layer, fc.nn.Conv2d)]
    assert {(c.weight.shape[2:], c.stride, c.padding) for c in convolutions} == {((3, 3), 1, 1)}


class TestGoogLeNet:
    def test_the_modules_have_the_papers_sizes(self):
        network = sizes_only("googlenet")
        rows = {row.name: row.shape for row in fc.summary(network, (3, 224, 224)).rows}
        modules = {name: layer for name, layer in network.layers.items() if name.startswith("inception")}
        found = {name[-2:]: (layer.out_channels, *rows[f"{name}.conv1x1"][1:]) for name, layer in modules.items()}
        assert found == {
            "3a": (256, 28, 28), "3b": (480, 28, 28), "4a": (512, 14, 14), "4b": (512, 14, 14), "4c": (512, 14, 14),
            "4d": (528, 14, 14), "4e": (832, 14, 14), "5a": (832, 7, 7), "5b": (1024, 7, 7),
        }  # fmt: skip

    def test_22_layers_with_weights_on_a_path_and_a_tenth_of_alexnets_parameters(self):
        """The lectures have "10 times fewer" and "12 times fewer": the first is right with the classes left out."""
        network = sizes_only("googlenet")
        modules = [layer for layer in network.layers.values() if isinstance(layer, fc.models.Inception)]
        assert 3 + 2 * len(modules) + 1 == 22
        convolutions = sum(p.size for p in network.parameters()) - network.output.weight.size - 1000
        assert convolutions == 5_973_552
        assert PARAMETERS["alexnet", ()] / convolutions == pytest.approx(10.4, abs=0.05)

    def test_a_module_puts_its_four_branches_side_by_side(self, backend):
        with fc.use(backend.name):
            module = fc.models.Inception(5, 1, 2, 3, 2, 4, 6)
            x = np.random.default_rng(0).standard_normal((2, 5, 7, 6)).astype("float32")
            y = module(x).numpy()
            F = fc.functional
            alone = [
                F.relu(module.conv1x1(x)),
                F.relu(module.conv3x3(F.relu(module.reduce3x3(x)))),
                F.relu(module.conv5x5(F.relu(module.reduce5x5(x)))),
                F.relu(module.projection(F.max_pool2d(x, 3, 1, 1))),
            ]
        assert y.shape == (2, 14, 7, 6)
        assert (y == np.concatenate([branch.numpy() for branch in alone], axis=1)).all()


class TestResNet:
    def test_images_are_pooled_to_56x56_before_the_blocks(self):
        network = sizes_only("resnet50")
        rows = {row.name: row.shape for row in fc.summary(network, (3, 224, 224)).rows}
        assert rows["conv1"] == (64, 112, 112)
        assert rows["pool1"] == (64, 56, 56)
        last = ["conv2_3.norm3", "conv3_4.norm3", "conv4_6.norm3", "conv5_3.norm3", "average"]
        assert [rows[name] for name in last] == [
            (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7), (2048, 1, 1),
        ]  # fmt: skip

    @pytest.mark.parametrize(("depth", "billions"), [(18, 1.8), (34, 3.6), (50, 3.8), (101, 7.6), (152, 11.3)])
    def test_multiplications_are_those_of_the_papers_table_1(self, depth, billions):
        multiplications = fc.summary(sizes_only(f"resnet{depth}"), (3, 224, 224)).multiplications
        assert multiplications / 1e9 == pytest.approx(billions, abs=0.1)

    @pytest.mark.parametrize("depth", [18, 34, 50, 101, 152, 20, 32, 44, 56, 110])
    def test_the_name_counts_the_layers_with_weights_and_each_convolution_is_normalised(self, depth):
        network = sizes_only(f"resnet{depth}")
        names = [name for name, layer in network.named_modules() if isinstance(layer, fc.nn.Conv2d)]
        assert len([name for name in names if "shortcut" not in name]) + 1 == depth
        layers = [type(layer).__name__ for _, layer in network.named_modules()]
        assert layers.count("BatchNorm2d") == len(names)
        assert "Dropout" not in layers
        assert all(layer.bias is None for _, layer in network.named_modules() if isinstance(layer, fc.nn.Conv2d))

    def test_the_three_stages_for_cifar10(self):
        rows = {row.name: row.shape for row in fc.summary(sizes_only("resnet20"), (3, 32, 32)).rows}
        assert [rows[f"conv{i}_3.norm2"] for i in (2, 3, 4)] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]

    def test_first_weights_are_he_et_al_s(self):
        weights = build("resnet20").conv4_3.conv1.weight.numpy()
        assert weights.std() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)

    @pytest.mark.parametrize("block", [fc.models.BasicBlock, fc.models.Bottleneck])
    def test_a_block_adds_its_input(self, backend, block):
        with fc.use(backend.name):
            plain = block(4 * block.expansion, 4)
            for name, p in plain.named_parameters():
                if name.startswith("norm"):
                    p.data[...] = 0  # F(x) = 0
            x = np.random.default_rng(0).standard_normal((2, 4 * block.expansion, 5, 6)).astype("float32")
            y = plain(fc.tensor(x))
            assert (y.numpy() == np.maximum(x, 0)).all()
            assert block(3, 4, stride=2)(fc.tensor(x[:, :3])).shape == (2, 4 * block.expansion, 3, 3)

    def test_the_shortcut_without_parameters_thins_out_and_adds_zeros(self, backend):
        with fc.use(backend.name):
            x = fc.tensor(np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype("float32"), requires_grad=True)
            y = cifar_resnet.ZeroPadding(2, 2)(x)
            y.sum().backward()
        assert y.shape == (2, 5, 3, 2)
        assert (y.numpy()[:, :3] == x.numpy()[:, :, ::2, ::2]).all()
        assert not y.numpy()[:, 3:].any()
        expected = np.zeros(x.shape)
        expected[:, :, ::2, ::2] = 1
        assert (x.grad.numpy() == expected).all()

    def test_running_statistics_are_kept_in_files(self, tmp_path):
        network = build("resnet20", SMALL_NETWORKS["resnet20"])
        x = np.random.default_rng(0).random((8, 3, 8, 8), "float32")
        before = network.predict(x)
        network(x)
        assert (network.predict(x) != before).any()
        fc.save(network, tmp_path / "resnet.safetensors")
        assert (fc.load(tmp_path / "resnet.safetensors").predict(x) == network.predict(x)).all()


class TestAlphaGo:
    def test_the_board_keeps_its_size(self):
        network = sizes_only("alphago")
        assert set(shapes(network, "Conv2d")) == {(192, 19, 19), (1, 19, 19)}
        assert shapes(network, "PositionBias") == [(361,)]

    def test_moves_are_probabilities_on_the_board(self):
        network = build("alphago", SMALL_NETWORKS["alphago"])
        x = np.random.default_rng(0).random((2, 4, 5, 5), "float32")
        network.places.bias.data[7] = 100  # row 1, column 2
        moves = network.move_probabilities(x).numpy()
        assert moves.shape == (2, 5, 5)
        np.testing.assert_allclose(moves.sum((1, 2)), 1, rtol=1e-6)
        assert (moves[:, 1, 2] > 0.99).all()

    def test_another_number_of_places_is_refused(self):
        with pytest.raises(fc.ArgumentError, match="5x5 has 25 places, output_size is 10"):
            fc.models.AlphaGoPolicy((4, 5, 5), output_size=10)
        with pytest.raises(fc.ArgumentError, match="convolutions must be at least 1"):
            fc.models.AlphaGoPolicy((4, 5, 5), convolutions=0)


@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        ("alexnet", {"input_dim": (3, 32, 32)}, fc.ShapeError, r"AlexNet: images of shape \(3, 32, 32\) C,H,W do not"),
        ("alexnet", {"groups": 0}, fc.ArgumentError, "AlexNet: groups must be at least 1, got 0"),
        ("alexnet", {"groups": 1.5}, fc.ArgumentError, "AlexNet: groups must be a whole number"),
        ("alphago", {"filters": 0}, fc.ArgumentError, "out_channels"),
        ("resnet20", {"width": "thin"}, fc.ArgumentError, "CifarResNet: width must be a number above 0"),
        ("alexnet", {"width": 0}, fc.ArgumentError, "AlexNet: width must be a number above 0"),
        ("zfnet", {"input_dim": (3, 62, 62)}, fc.ShapeError, "ZFNet: images"),
        ("zfnet", {"filters": (1, 2)}, fc.ArgumentError, "ZFNet: filters must be"),
        ("googlenet", {"input_dim": (3, 46, 60)}, fc.ShapeError, "GoogLeNet: images"),
        ("vgg11", {"input_dim": (3, 31, 40)}, fc.ShapeError, "images of 32x32 or more"),
        ("vgg19", {"head": "none"}, fc.ArgumentError, "head must be 'linear' or 'average', got 'none'"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, error, text):
    with pytest.raises(error, match=text):
        build(name, options)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in DEEP])
def test_summary_and_run_agree_and_files_keep_everything(name, tmp_path):
    fc.manual_seed(0)
    network = build(name, SMALL_NETWORKS.get(name))
    x = np.random.default_rng(1).random((2, *network.config["input_dim"]), "float32")
    y = network.predict(x)
    assert fc.summary(network, x.shape[1:]).rows[-1].shape == y.shape[1:]
    fc.save(network, tmp_path / "network.safetensors")
    assert (fc.load(tmp_path / "network.safetensors").predict(x) == y).all()
    other = build(name, SMALL_NETWORKS.get(name))
    network.save_params(tmp_path / "params.pkl")
    other.load_params(tmp_path / "params.pkl")
    assert (other.predict(x) == y).all()


@pytest.mark.parametrize("name", ["alexnet", "vgg13", "googlenet", "resnet50", "resnet20", "alphago"])
def test_compiled_training_is_eager_training(name):
    lrn = {"lrn": True} if name in ("alexnet", "googlenet") else {}

    def trained(compiled):
        fc.manual_seed(2)
        network = build(name, SMALL_NETWORKS[name] | lrn)
        rng = np.random.default_rng(3)
        x = rng.random((4, *network.config["input_dim"]), "float32")
        t = rng.integers(0, 10, 4)
        optimizer = fc.optim.SGD(network.parameters(), 0.01, momentum=0.9)
        if compiled:
            step = fc.compile(network, fc.nn.CrossEntropyLoss(), optimizer)
            losses = [step(x, t).item() for _ in range(200)]
            for frozen in (False, True):
                predict = fc.compile(network.eval(), frozen=frozen)
                np.testing.assert_allclose(predict(x).numpy(), network.predict(x), rtol=1e-4, atol=1e-4)
            return losses
        losses = []
        for _ in range(200):
            optimizer.zero_grad()
            loss = fc.functional.cross_entropy(network(x), t)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    eager = trained(compiled=False)
    assert eager[-1] < 0.7 * eager[0]
    np.testing.assert_allclose(trained(compiled=True), eager, rtol=1e-3, atol=1e-4)


class TestEnsemble:
    def networks(self, count=3):
        made = []
        for seed in range(count):
            fc.manual_seed(seed)
            made.append(fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3}, weight_init_std="he"))
        return made

    def test_it_answers_with_the_mean_of_the_probabilities(self, backend):
        rng = np.random.default_rng(0)
        x, t = rng.standard_normal((5, 1, 8, 8)).astype("float32"), rng.integers(0, 10, 5)
        with fc.use(backend.name):
            networks = self.networks()
            scores = fc.models.Ensemble(networks)(x)
            single = [fc.functional.softmax(network(x)).numpy() for network in networks]
            softmaxed = fc.functional.softmax(scores).numpy()
            result = fc.evaluate(fc.models.Ensemble(networks), x, t)
        mean = np.mean(single, axis=0, dtype="float64")
        np.testing.assert_allclose(softmaxed, mean, rtol=1e-5)
        np.testing.assert_allclose(scores.numpy(), np.log(mean), rtol=1e-5)
        assert result.loss == pytest.approx(-np.log(mean[range(5), t]).mean(), rel=1e-5)
        assert result.accuracy == (mean.argmax(1) == t).mean()

    def test_a_probability_of_zero_stays_finite(self):
        (network,) = self.networks(1)
        network.affine2.bias.data[0] = 1e4
        scores = fc.models.Ensemble([network])(np.zeros((1, 1, 8, 8), "float32")).numpy()
        assert np.isfinite(scores).all()
        assert scores.argmax() == 0

    def test_its_values_are_its_networks(self):
        ensemble = fc.models.Ensemble(self.networks(2))
        assert "networks.1.affine2.weight" in ensemble.state_dict()
        assert "SimpleConvNet" in repr(ensemble)
        ensemble.eval()
        assert not ensemble.networks[0].training

    @pytest.mark.parametrize("given", [[], [fc.nn.ReLU], [3], 3, fc.nn.ReLU(), fc.nn.Sequential(fc.nn.ReLU())])
    def test_something_else_than_networks_is_refused(self, given):
        with pytest.raises(fc.ArgumentError, match="Ensemble: takes a list of one or more networks"):
            fc.models.Ensemble(given)

    def test_networks_of_other_classes_are_refused(self):
        other = fc.models.SimpleConvNet((1, 8, 8), {"filter_size": 3}, output_size=3)
        with pytest.raises(fc.ShapeError, match=r"differ in shape: \[\(1, 10\), \(1, 3\)\]"):
            fc.models.Ensemble([*self.networks(1), other])(np.zeros((1, 1, 8, 8), "float32"))

    def test_it_cannot_be_compiled_and_says_so(self):
        with pytest.raises(fc.UnsupportedError, match="values"):
            fc.compile(fc.models.Ensemble(self.networks(1)))(np.zeros((1, 1, 8, 8), "float32"))


def test_every_network_has_small_options_or_is_small():
    with fc.nn.init.unset():
        sizes = {name: sum(p.size for p in build(name, SMALL_NETWORKS.get(name)).parameters()) for name in MODELS}
    assert {name: size for name, size in sizes.items() if size > 3_000_000} == {}
