"""Networks as users write them: lists of layers, mistakes in a forward, moving, slicing, custom steps of the tape."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn


@pytest.fixture(autouse=True)
def on_backend(backend):
    fc.manual_seed(0)
    with fc.use(backend.name):
        yield


class InList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 4), nn.ReLU()]
        self.heads = {"class": nn.Linear(4, 2)}
        self.gains = (nn.Parameter(np.ones(2, "float32")),)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.heads["class"](x) * self.gains[0]


class Residual(nn.Module):
    def __init__(self, channels, inside=None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(inside or channels, channels, 3, padding=1)

    def forward(self, x):
        return fc.functional.relu(x + self.conv2(fc.functional.relu(self.conv1(x))))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)

    def forward(self, x, y):
        return self.left(x) + self.right(y)


class WithoutSuper(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        return self.linear(x)


class Square(fc.Function):
    name = "square"

    def forward(self, be, x):
        self.save(x)
        return x * x

    def backward(self, be, dy):
        (x,) = self.saved
        return (2 * x * dy,)


class TestWhatBelongsToAModule:
    def test_layers_and_parameters_in_lists_tuples_and_dicts(self):
        names = [name for name, _ in InList().named_parameters()]
        assert names == [
            "gains.0", "layers.0.weight", "layers.0.bias", "heads.class.weight", "heads.class.bias",
        ]  # fmt: skip

    def test_they_are_trained_switched_saved_and_shown(self, tmp_path):
        model, x, t = InList(), np.ones((4, 3), "float32"), np.array([0, 1, 0, 1])
        before = model.layers[0].weight.numpy().copy()
        optimizer = fc.optim.SGD(model.parameters(), 0.5)
        fc.Trainer(model, optimizer, progress=False).fit((x, t), epochs=2, batch_size=2)
        assert (model.layers[0].weight.numpy() != before).any()
        assert not model.eval().layers[1].training
        assert "(layers.0): Linear(3, 4" in repr(model)
        fc.save(model, tmp_path / "list.safetensors")
        np.testing.assert_array_equal(fc.load(InList(), tmp_path / "list.safetensors")(x).numpy(), model(x).numpy())

    def test_a_layer_added_to_a_list_after_compiling_is_noticed(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = [nn.Linear(3, 3)]

            def forward(self, x):
                for layer in self.layers:
                    x = layer(x)
                return x

        model, x = Net(), np.ones((2, 3), "float32")
        predict = fc.compile(model.eval())
        predict(x)
        model.layers.append(nn.Tanh().eval())
        np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())

    def test_a_module_that_forgets_super_init_works(self):
        model, x = WithoutSuper(), np.ones((2, 3), "float32")
        assert fc.evaluate(model, x, [0, 1]).confusion.sum() == 2
        np.testing.assert_array_equal(fc.compile(model)(x).numpy(), model(x).numpy())

    def test_pickled_and_copied_models_give_the_same(self):
        model, x = nn.Sequential(nn.Conv2d(1, 2, 3), Residual(2)), np.ones((1, 1, 5, 5), "float32")
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy())

    def test_a_pickled_model_trains_on_with_its_optimizer(self, rng):
        """Beside new tensors of the same backend, the weights laid out as its kernels take them."""
        x, t = rng.standard_normal((3, 2, 6, 6)).astype("float32"), np.array([0, 3, 1])
        model = nn.Sequential(nn.Flatten(), nn.Linear(72, 72), Unflatten(), nn.Conv2d(2, 4, 3), nn.GlobalAvgPool2d())
        optimizer = fc.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(model, optimizer):
            optimizer.zero_grad()
            loss = fc.functional.cross_entropy(model(fc.tensor(x)).reshape(3, 4), t)
            loss.backward()
            optimizer.step()
            return loss.item()

        step(model, optimizer)
        twins = pickle.loads(pickle.dumps((model, optimizer)))
        assert [step(*twins) for _ in range(3)] == [step(model, optimizer) for _ in range(3)]


class Unflatten(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 2, 6, 6)


class TestMistakes:
    def test_the_layer_that_failed_is_noted_by_its_name(self):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU(), Residual(4, inside=5)))
        with pytest.raises(fc.ShapeError, match="w expects 5 input channels, x has 4") as caught:
            model(np.ones((1, 1, 8, 8), "float32"))
        assert caught.value.__notes__ == [f"in layer 1.1.conv2 of Sequential: {model[1][1].conv2!r}"]
        assert caught.value.layer is model[1][1].conv2

    def test_one_layer_alone_needs_no_note(self):
        with pytest.raises(fc.ShapeError) as caught:
            nn.Linear(3, 2)(np.ones((1, 4), "float32"))
        assert not hasattr(caught.value, "__notes__")

    def test_a_forward_without_return(self):
        class Net(nn.Module):
            def forward(self, x):
                fc.functional.relu(x)

        with pytest.raises(fc.ArgumentError, match=r"Net\.forward returned nothing"):
            Net()(np.ones(3, "float32"))

    @pytest.mark.parametrize(
        ("wrong", "advice"),
        [
            (nn.ReLU, r"write ReLU\(\), with parentheses"),
            ([nn.ReLU()], r"put a \* before it"),
            (fc.functional.relu, "write a Module"),
            (None, "write a Module"),
        ],
    )
    def test_sequential_takes_modules_only(self, wrong, advice):
        with pytest.raises(fc.ArgumentError, match=advice):
            nn.Sequential(nn.Tanh(), wrong)
        with pytest.raises(fc.ArgumentError, match=advice):
            nn.Sequential().append(wrong)

    def test_whole_numbers_where_a_gradient_is_asked_for(self):
        model, t = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), np.array([0, 1])
        step = fc.compile(model, loss=nn.CrossEntropyLoss(), optimizer=fc.optim.SGD(model.parameters(), 0.1))
        with pytest.raises(fc.DTypeError, match=r"uint8.*\.astype\('float32'\)"):
            step(np.ones((2, 1, 2, 2), "uint8"), t)

    def test_mixed_types_advise_float32(self):
        with pytest.raises(fc.DTypeError, match=r"float64 and float32 cannot be mixed; convert.*\.astype\('float32'\)"):
            nn.Linear(3, 2)(np.ones((1, 3)))


class TestSequential:
    def test_a_slice_is_a_sequential_of_the_same_layers(self):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        part = model[1:]
        assert isinstance(part, nn.Sequential)
        assert [name for name, _ in part.named_children()] == ["1", "2"]
        assert part[0] is model[1]

    def test_append(self):
        model = nn.Sequential(nn.Linear(2, 2)).append(nn.ReLU())
        assert [name for name, _ in model.named_children()] == ["0", "1"]
        assert (model(np.ones((1, 2), "float32")).numpy() >= 0).all()


class TestMoving:
    def test_to_another_backend_and_what_it_computes_there(self, backend):
        other = "reference" if backend.name != "reference" else "cpu"
        model, x = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), np.ones((1, 1, 4, 4), "float32")
        before = model(x).numpy()
        assert model.to(other) is model
        y = model(x)
        assert y.backend.name == other
        np.testing.assert_allclose(y.numpy(), before, rtol=1e-5)
        with pytest.raises(fc.BackendError, match="there is no backend 'cuda'"):
            model.to("cuda")

    def test_an_optimizer_made_before_the_move_is_refused(self, backend):
        model = nn.Linear(2, 2)
        optimizer = fc.optim.Adam(model.parameters())
        model.to("reference" if backend.name != "reference" else "cpu")
        model(np.ones((1, 2), "float32")).sum().backward()
        with pytest.raises(fc.BackendError, match="make the optimizer after moving the model"):
            optimizer.step()


def test_two_inputs_learn_and_are_summarised():
    model, x, y = TwoInputs(), np.ones((2, 3), "float32"), np.ones((2, 2), "float32")
    fc.functional.cross_entropy(model(x, y), [0, 1]).backward()
    assert all(p.grad is not None for p in model.parameters())
    found = fc.summary(model, (3,), (2,))
    assert found.parameters == 3 * 4 + 4 + 2 * 4 + 4
    assert str(found).splitlines()[0] == "TwoInputs, inputs 3 and 2"


class TestOwnSteps:
    def test_gradient_and_compiled_training(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(3, 2)

            def forward(self, x):
                return Square.apply(self.linear(x))

        assert fc.gradcheck(Square.apply, np.linspace(-1, 1, 6))
        model, x, t = Net(), np.ones((2, 3), "float32"), np.array([0, 1])
        eager = fc.functional.cross_entropy(model(x), t).item()
        step = fc.compile(model, loss=nn.CrossEntropyLoss(), optimizer=fc.optim.SGD(model.parameters(), 0.1))
        assert step(x, t).item() == pytest.approx(eager, rel=1e-6)

    def test_an_array_is_no_tensor(self):
        with pytest.raises(fc.ArgumentError, match=r"square: ndarray is no tensor; make one with fc.tensor"):
            Square.apply(np.ones(3))


class Inception(nn.Module):
    """1x1, 3x3 and pooled branches beside each other."""

    def __init__(self, channels):
        super().__init__()
        self.point = nn.Conv2d(channels, 2, 1)
        self.wide = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 3, padding=1))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(channels, 1, 1))

    def forward(self, x):
        return fc.functional.concat([fc.functional.relu(f(x)) for f in (self.point, self.wide, self.pooled)])


class TestCompiled:
    @pytest.mark.parametrize("block", [lambda: Inception(4), lambda: Residual(4)], ids=["inception", "residual"])
    def test_branches_that_meet_again_are_compiled_and_learn_the_same(self, block, rng):
        x, t = rng.random((6, 1, 6, 6)).astype("float32"), np.array([0, 1, 2, 0, 1, 2])
        losses = []
        for compiled in (False, True):
            fc.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(1, 4, 3), block(), nn.GlobalAvgPool2d(), nn.Flatten())
            model.append(nn.Linear(model(x).shape[1], 3))
            optimizer = fc.optim.SGD(model.parameters(), 0.1, momentum=0.9)
            trainer = fc.Trainer(model, optimizer, progress=False, compile=compiled)
            losses.append(trainer.fit((x, t), (x, t), epochs=3, batch_size=4).column("validation_loss"))
            assert ("compiled" in repr(trainer)) == compiled
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)

    def test_picked_elements(self, rng):
        class Half(nn.Linear):
            def forward(self, x):
                return super().forward(x)[:, ::2]

        model, x = Half(3, 4), rng.random((2, 3)).astype("float32")
        np.testing.assert_array_equal(fc.compile(model)(x).numpy(), model(x).numpy())

    def test_targets_of_a_loss_of_ones_own_stay_as_they_are(self, rng):
        model, x, t = nn.Linear(3, 1), rng.random((4, 3)).astype("float32"), rng.random((4, 1)).astype("float32")

        def mean_square(y, t):
            return ((y - t) ** 2).mean()

        expected = mean_square(model(x), t).item()
        step = fc.compile(model, loss=mean_square, optimizer=fc.optim.SGD(model.parameters(), 0.1))
        assert step(x, t).item() == pytest.approx(expected, rel=1e-6)

    def test_two_results_are_refused(self):
        class Pair(nn.Linear):
            def forward(self, x):
                return super().forward(x), x

        with pytest.raises(fc.UnsupportedError, match="must return one tensor each, got tuple"):
            fc.compile(Pair(2, 2))(np.ones((1, 2), "float32"))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda m: fc.optim.SGD(m, 0.1), "no parameters to train"),
        (lambda m: fc.optim.SGD([np.ones(3)], 0.1), "SGD: takes tensors"),
        (lambda m: fc.optim.SGD(m.named_parameters(), 0.1), "SGD: takes tensors"),
        (lambda m: fc.optim.SGD(m.parameters(), "fast"), "lr must be at least 0, got 'fast'"),
        (lambda m: fc.Trainer(fc.optim.SGD(m.parameters(), 0.1), m), "Trainer: takes a model and an optimizer"),
        (lambda m: fc.Trainer(m, fc.optim.SGD), "Trainer: takes a model and an optimizer"),
        (lambda m: fc.compile(lambda x: x), "compile: takes a model"),
        (lambda m: fc.compile(m, loss="mse"), "compile: takes a model and a loss to call"),
        (lambda m: fc.summary(3, (1, 2)), "summary: takes a model"),
        (lambda m: fc.summary(m, 3), r"must be that of one image, \(C, H, W\), got \(3,\)"),
        (lambda m: fc.save("file", m), "save: give a model and a path, in this order"),
        (lambda m: fc.manual_seed("one"), "seed must be a whole number from 0, got 'one'"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(wrong, text):
    with pytest.raises(fc.FastconvError, match=text):
        wrong(nn.Linear(2, 2))
