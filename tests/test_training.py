"""The training loop: it learns, it stops cleanly, and a resumed run is the uninterrupted one, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastconv as fc
from fastconv import random
from fastconv.nn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastconv.training import LectureTrainer, Progress, TrainingInterrupted, evaluate
from fastconv.training.checkpoints import Checkpoints
from fastconv.training.progress import Lines, Live

CLASSES = 3


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        fc.manual_seed(7)
        yield


def stripes(n, seed=0):
    """Images (n, 1, 6, 6) of noise with a bright row, and which third of the image it lies in."""
    rng = np.random.default_rng(seed)
    t = rng.integers(0, CLASSES, n)
    x = rng.random((n, 1, 6, 6), "float32") * 0.3
    x[np.arange(n), 0, 2 * t + rng.integers(0, 2, n)] += 0.7
    return x, t


def small_net():
    return Sequential(
        Conv2d(1, 4, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Dropout(0.3), Linear(36, CLASSES)
    )  # fmt: skip


def without_times(history):
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in history.rows()]


# Learning -------------------------------------------------------------------------------------------------------------


def test_it_learns():
    model = small_net()
    trainer = fc.Trainer(model, fc.optim.Adam(model.parameters(), lr=0.01), progress=False)
    history = trainer.fit(stripes(300), stripes(100, seed=1), epochs=5, batch_size=20)
    assert history[-1].validation_accuracy >= 0.97
    assert history[-1].train_loss < history[0].train_loss / 4
    assert [epoch.number for epoch in history] == [1, 2, 3, 4, 5]
    assert all(epoch.images_per_second == pytest.approx(300 / epoch.seconds) for epoch in history)


def test_one_epoch_is_the_plain_loop():
    """Losses, accuracy and weights are those of a loop that a user would write by hand."""
    x, t = stripes(50)
    model, twin = small_net().eval(), small_net().eval()
    twin.load_state_dict(model.state_dict())
    model[4].p = twin[4].p = 0.0
    trainer = fc.Trainer(model, fc.optim.SGD(model.parameters(), lr=0.1), seed=3, progress=False)
    (epoch,) = trainer.fit((x, t), epochs=1, batch_size=20)
    optimizer, loss_function = fc.optim.SGD(twin.parameters(), lr=0.1), fc.nn.CrossEntropyLoss()
    loss_sum, right = 0.0, 0
    for x_batch, t_batch in fc.data.batches(x, t, 20, seed=3, epoch=0):
        optimizer.zero_grad()
        scores = twin(x_batch)
        loss = loss_function(scores, t_batch)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(t_batch)
        right += int((scores.numpy().argmax(1) == t_batch).sum())
    assert epoch.train_loss == pytest.approx(loss_sum / 50, rel=1e-12)
    assert epoch.train_accuracy == right / 50
    assert epoch.validation_accuracy is None
    for name, value in twin.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value)


def test_one_hot_labels_are_the_same_labels():
    x, t = stripes(60)
    results = []
    for labels in (t, fc.data.one_hot(t, CLASSES)):
        fc.manual_seed(1)
        model = small_net()
        trainer = fc.Trainer(model, fc.optim.SGD(model.parameters(), lr=0.1), progress=False)
        results.append(without_times(trainer.fit((x, labels), (x, labels), epochs=2, batch_size=20)))
    assert results[0] == results[1]


def test_the_transform_sees_training_batches_only():
    seen = []

    def transform(x, rng):
        seen.append(len(x))
        return x

    model = small_net()
    trainer = fc.Trainer(model, fc.optim.SGD(model.parameters()), transform=transform, progress=False)
    trainer.fit(stripes(50), stripes(30), epochs=2, batch_size=20)
    assert seen == [20, 20, 10] * 2


def test_schedules_are_stepped_by_epoch_by_batch_and_by_metric():
    def lrs(make, **options):
        model = small_net()
        optimizer = fc.optim.SGD(model.parameters(), lr=0.08)
        trainer = fc.Trainer(model, optimizer, schedule=make(optimizer), progress=False)
        return trainer.fit(stripes(60), epochs=3, batch_size=20, **options).column("lr"), optimizer.lr

    assert lrs(lambda o: fc.optim.ExponentialLR(o, 0.5)) == ([0.08, 0.04, 0.02], 0.01)
    cycle = lambda o: fc.optim.OneCycleLR(o, 0.1, total_steps=9, cycle_momentum=False)  # noqa: E731
    by_hand = cycle(fc.optim.SGD([fc.tensor([1.0], requires_grad=True)]))
    wanted = []
    for _ in range(9):
        wanted.append(by_hand.optimizer.lr)
        by_hand.step()
    assert lrs(cycle)[0] == wanted[2::3]
    never = {"threshold": 100.0, "threshold_mode": "abs", "patience": 0, "factor": 0.5}
    assert lrs(lambda o: fc.optim.ReduceLROnPlateau(o, **never))[0] == [0.08, 0.08, 0.04]
    assert lrs(lambda o: fc.optim.ReduceLROnPlateau(o, mode="max", **never), validation=stripes(9))[0][-1] == 0.04


def test_a_schedule_of_another_optimizer_is_refused():
    model = small_net()
    optimizer, other = fc.optim.SGD(model.parameters()), fc.optim.SGD(model.parameters())
    with pytest.raises(fc.ArgumentError, match="belongs to another optimizer"):
        fc.Trainer(model, optimizer, schedule=fc.optim.StepLR(other, 1))


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path):
    x, t = stripes(60)
    x[5] = np.nan
    model = small_net()
    trainer = fc.Trainer(model, fc.optim.SGD(model.parameters()), checkpoint=tmp_path, progress=False)
    with pytest.raises(fc.DivergenceError, match=r"by batch 3 of epoch 1.*try a lower rate, and check the images"):
        trainer.fit((x, t), epochs=1, batch_size=20)
    assert os.listdir(tmp_path) == []


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_evaluation_counts_every_image():
    x, t = stripes(47)
    model = small_net()
    result = evaluate(model, x, t, batch_size=10)
    scores = model.eval()(x).numpy()
    assert result.accuracy == (scores.argmax(1) == t).mean()
    assert result.loss == pytest.approx(fc.functional.cross_entropy(scores, t).item(), rel=1e-6)
    wanted = np.zeros((CLASSES, CLASSES))
    for truth, guess in zip(t, scores.argmax(1), strict=True):
        wanted[truth, guess] += 1
    np.testing.assert_array_equal(result.confusion, wanted)


def test_evaluation_leaves_modes_and_the_random_stream_as_they_were():
    model = small_net()
    model[0].eval()
    stream = random.get_state()
    evaluate(model, *stripes(10))
    assert [module.training for module in model] == [False, True, True, True, True, True]
    assert random.get_state() == stream


class Pickier(fc.nn.Module):
    """Looks at values, which a plan cannot."""

    def __init__(self):
        super().__init__()
        self.inside = small_net()

    def forward(self, x):
        y = self.inside(x)
        return y if y.numpy().max() < 100 else y * 0


@pytest.mark.parametrize("make", [small_net, Pickier, lambda: Sequential(Flatten(), ReLU())])
@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_evaluation_as_a_plan_is_the_eager_one(make, device):
    if fc.available()[device] != "ready":
        pytest.skip(f"the {device} backend is not ready: {fc.available()[device]}")
    with fc.use(device):
        model = make()
        plan, eager = (evaluate(model, *stripes(47), batch_size=10, compile=compile) for compile in (True, False))
    assert plan.loss == pytest.approx(eager.loss, rel=1e-5)
    np.testing.assert_array_equal(plan.confusion, eager.confusion)


# Stopping and going on ------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class KillAfter(Progress):
    """Ends the run with an error after a number of batches, as a crash would."""

    def __init__(self, batches):
        self.left = batches

    def batch(self, tally):
        self.left -= 1
        if self.left == 0:
            raise Killed


OPTIMIZERS = {
    "momentum": lambda p: fc.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: fc.optim.Adam(p, lr=0.01),
}
SCHEDULES = {
    "none": lambda o: None,
    "cosine": lambda o: fc.optim.CosineAnnealingLR(o, 4),
    "one cycle": lambda o: fc.optim.OneCycleLR(o, 0.1, total_steps=20),
    "plateau": lambda o: fc.optim.ReduceLROnPlateau(o, patience=0, threshold=0.5),
}


def make_trainer(folder, optimizer, schedule, seed=7, **options):
    fc.manual_seed(seed)
    model = small_net()
    made = OPTIMIZERS[optimizer](model.parameters())
    options = {"progress": False, "transform": fc.data.RandomShift(1)} | options
    return fc.Trainer(model, made, schedule=SCHEDULES[schedule](made), checkpoint=folder, seed=5, **options)


FIT = {"train": stripes(50), "validation": stripes(30, seed=1), "epochs": 4, "batch_size": 10}


def assert_same_run(trainer, history, whole, whole_history):
    assert without_times(history) == without_times(whole_history)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], value)
    ours, theirs = trainer.optimizer.state_dict(), whole.optimizer.state_dict()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batches", [3, 5, 7, 12, 19])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, optimizer, schedule, batches):
    whole = make_trainer(tmp_path / "whole", optimizer, schedule)
    whole_history = whole.fit(**FIT)
    killed = make_trainer(tmp_path / "run", optimizer, schedule, checkpoint_every=2, progress=KillAfter(batches))
    with pytest.raises(Killed):
        killed.fit(**FIT)
    resumed = make_trainer(tmp_path / "run", optimizer, schedule, seed=99)
    assert_same_run(resumed, resumed.fit(**FIT, resume=True), whole, whole_history)


def test_more_epochs_later_are_the_same_as_at_once(tmp_path):
    whole = make_trainer(tmp_path / "whole", "adam", "none")
    whole_history = whole.fit(**FIT)
    part = make_trainer(tmp_path / "run", "adam", "none")
    part.fit(**{**FIT, "epochs": 3})
    resumed = make_trainer(tmp_path / "run", "adam", "none", seed=1)
    assert_same_run(resumed, resumed.fit(**FIT, resume=True), whole, whole_history)


class PressCtrlC(Progress):
    def __init__(self, batches):
        self.left = batches

    def batch(self, tally):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("batches", [1, 5, 8])
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, batches):
    whole = make_trainer(tmp_path / "whole", "momentum", "cosine")
    whole_history = whole.fit(**FIT)
    stopped = make_trainer(tmp_path / "run", "momentum", "cosine", progress=PressCtrlC(batches))
    handler = signal.getsignal(signal.SIGINT)
    where = f"after batch {(batches - 1) % 5 + 1} of epoch {(batches - 1) // 5 + 1}"
    with pytest.raises(
        TrainingInterrupted, match=rf"{where}; saved in .*fit\(\.\.\., resume=True\) goes on from there"
    ):
        stopped.fit(**FIT)
    assert signal.getsignal(signal.SIGINT) is handler
    resumed = make_trainer(tmp_path / "run", "momentum", "cosine", seed=2)
    assert_same_run(resumed, resumed.fit(**FIT, resume=True), whole, whole_history)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_without_a_checkpoint_folder_says_so():
    model = small_net()
    trainer = fc.Trainer(model, fc.optim.SGD(model.parameters()), progress=PressCtrlC(2))
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        trainer.fit(**FIT)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_kill_9_at_any_moment_leaves_a_run_that_goes_on(tmp_path):
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import fastconv as fc
        import test_training as here
        fc.use("reference")
        trainer = here.make_trainer({str(tmp_path / "run")!r}, "adam", "cosine", checkpoint_every=1)
        print("ready", flush=True)
        trainer.fit(**here.FIT)
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    folder = Checkpoints(tmp_path / "run")
    while process.poll() is None and not folder.paths():
        pass
    process.kill()
    process.communicate()
    whole = make_trainer(tmp_path / "whole", "adam", "cosine")
    whole_history = whole.fit(**FIT)
    resumed = make_trainer(tmp_path / "run", "adam", "cosine", seed=3)
    assert_same_run(resumed, resumed.fit(**FIT, resume=True), whole, whole_history)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def test_the_last_two_checkpoints_stay(tmp_path):
    make_trainer(tmp_path, "adam", "none").fit(**FIT)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-000003.safetensors", "checkpoint-000004.safetensors"]
    make_trainer(tmp_path, "adam", "none").fit(**{**FIT, "epochs": 1})
    assert os.listdir(tmp_path) == ["checkpoint-000005.safetensors"]


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path):
    whole = make_trainer(tmp_path / "whole", "adam", "none")
    whole_history = whole.fit(**FIT)
    make_trainer(tmp_path / "run", "adam", "none").fit(**{**FIT, "epochs": 3})
    newest = Checkpoints(tmp_path / "run").paths()[-1]
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(data)
    resumed = make_trainer(tmp_path / "run", "adam", "none")
    with pytest.warns(UserWarning, match=r"going on from checkpoint-000002.*its checksum does not agree"):
        history = resumed.fit(**FIT, resume=True)
    assert_same_run(resumed, history, whole, whole_history)


def test_every_truncated_checkpoint_is_refused(tmp_path):
    make_trainer(tmp_path, "adam", "none").fit(**{**FIT, "epochs": 1})
    (path,) = Checkpoints(tmp_path).paths()
    data = path.read_bytes()
    for length in range(0, len(data), 211):
        path.write_bytes(data[:length])
        with pytest.raises(fc.DataError, match="not a sound file of arrays"):
            Checkpoints(tmp_path).newest()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 8}, "seed was 5, is 8"),
        ({"optimizer": "momentum"}, "optimizer was Adam, is SGD"),
        ({"schedule": "cosine"}, "schedule was NoneType, is CosineAnnealingLR"),
        ({"batch_size": 25}, "batch_size was 10, is 25"),
        ({"train": stripes(40)}, "images was 50, is 40"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, change, text):
    make_trainer(tmp_path, "adam", "none").fit(**{**FIT, "epochs": 1})
    other = make_trainer(tmp_path, change.pop("optimizer", "adam"), change.pop("schedule", "none"))
    other.seed = change.pop("seed", 5)
    with pytest.raises(fc.ArgumentError, match=text):
        other.fit(**{**FIT, **change}, resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    make_trainer(tmp_path, "adam", "none").fit(**{**FIT, "epochs": 1})
    model = Sequential(Flatten(), Linear(36, CLASSES))
    trainer = fc.Trainer(model, fc.optim.Adam(model.parameters()), seed=5, checkpoint=tmp_path, progress=False)
    before = model.state_dict()
    with pytest.raises(fc.DataError, match="belongs to another network"):
        trainer.fit(**FIT, resume=True)
    np.testing.assert_array_equal(model.state_dict()["1.weight"], before["1.weight"])


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(fc.DataError, match="there is no checkpoint to go on from"):
        make_trainer(tmp_path / "empty", "adam", "none").fit(**FIT, resume=True)
    with pytest.raises(fc.ArgumentError, match=r"needs Trainer\(checkpoint=\.\.\.\)"):
        make_trainer(None, "adam", "none").fit(**FIT, resume=True)


# What is shown --------------------------------------------------------------------------------------------------------


def test_one_plain_line_for_each_epoch(capsys):
    model = small_net()
    fc.Trainer(model, fc.optim.SGD(model.parameters()), progress=Lines()).fit(**{**FIT, "epochs": 2})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2  loss ")
    for part in ("accuracy 0.", "validation 0.", "lr 0.01", "images/s"):
        assert part in lines[1]


def test_the_live_display_shows_epochs_above_the_bar(monkeypatch, capsys):
    monkeypatch.setattr("fastconv.training.progress.REFRESH_SECONDS", 0.0)
    model = small_net()
    fc.Trainer(model, fc.optim.SGD(model.parameters()), progress=Live()).fit(**{**FIT, "epochs": 2})
    assert "epoch 1/2  loss" in capsys.readouterr().out


def test_history_is_written_as_json(tmp_path):
    history = make_trainer(None, "adam", "none").fit(**FIT)
    history.save(tmp_path / "history.json")
    rows = json.loads((tmp_path / "history.json").read_text())
    assert rows == history.rows()
    assert fc.History.from_rows(rows).rows() == rows
    with pytest.raises(fc.DataError, match="history: expected a list"):
        fc.History.from_rows([{"number": 1}])


# The lectures' Trainer ------------------------------------------------------------------------------------------------


def test_the_lectures_trainer_keeps_its_lists_and_prints(capsys):
    x, t = stripes(50)
    network = small_net()
    trainer = LectureTrainer(
        network, x, t, *stripes(30, seed=1), epochs=3, mini_batch_size=20, optimizer="Adam",
        optimizer_param={"lr": 0.01}, evaluate_sample_num_per_epoch=10,
    )  # fmt: skip
    trainer.train()
    assert trainer.current_epoch == len(trainer.train_acc_list) == len(trainer.test_acc_list) == 3
    assert len(trainer.train_loss_list) == 9
    assert trainer.train_acc_list[-1] == evaluate(network, x[:10], t[:10]).accuracy
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"train loss:{trainer.train_loss_list[0]}"
    assert lines[3] == f"=== epoch:1, train acc:{trainer.train_acc_list[0]}, test acc:{trainer.test_acc_list[0]} ==="
    assert lines[-2] == "=============== Final Test Accuracy ==============="
    assert lines[-1] == f"test acc:{evaluate(network, *stripes(30, seed=1)).accuracy}"
    assert len(lines) == 9 + 3 + 2


@pytest.mark.parametrize("name", ["SGD", "momentum", "Nesterov", "AdaGrad", "RMSprop", "rmsprpo", "ADAM"])
def test_the_lectures_optimizers_by_name(capsys, name):
    x, t = stripes(20)
    trainer = LectureTrainer(small_net(), x, t, x, t, epochs=1, optimizer=name, verbose=False)
    trainer.train()
    assert trainer.optimizer.lr == 0.01
    assert capsys.readouterr().out == ""


def test_the_lectures_optimizer_parameters():
    x, t = stripes(20)
    trainer = LectureTrainer(small_net(), x, t, x, t, optimizer="Adam", optimizer_param={"lr": 0.1, "beta1": 0.8})
    assert trainer.optimizer.betas == (0.8, 0.999)
    with pytest.raises(fc.ArgumentError, match="SGD does not take optimizer_param"):
        LectureTrainer(small_net(), x, t, x, t, optimizer_param={"rate": 0.1})
    with pytest.raises(fc.ArgumentError, match="optimizer must be one of sgd, momentum"):
        LectureTrainer(small_net(), x, t, x, t, optimizer="LBFGS")
