"""The lecture's CIFAR-10 program in PyTorch's style: its network, its training loop and its test, line by line.

Only the imports differ, and the data: a few pictures whose brightest colour is their class.
"""

import re

import numpy as np
import pytest

import fastconv as fc
from fastconv import functional as F
from fastconv import nn, optim
from fastconv.data import DataLoader

training_epochs = 200
device = "cpu"


class LeNet5(nn.Module):
    """The base code: 2 convolutions and 3 fully connected layers, 5x5 filters, stride 1, no padding, average pooling.

    The improved one has max pooling, 32 instead of 6 channels and 64 instead of 16.
    """

    def __init__(self, c1=6, c3=16, pool=nn.AvgPool2d):
        super().__init__()
        self.flat = 5 * 5 * c3
        self.conv1 = nn.Conv2d(3, c1, 5, 1, 0)
        self.conv2 = nn.Conv2d(c1, c3, 5, 1, 0)
        self.pool = pool(kernel_size=2, stride=2)
        self.fc1 = nn.Linear(self.flat, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        y = self.pool(F.relu(self.conv1(x)))
        y = self.pool(F.relu(self.conv2(y)))
        y = F.reshape(y, (-1, self.flat))
        y = F.relu(self.fc1(y))
        y = F.relu(self.fc2(y))
        return self.fc3(y)


class Pictures:
    """As torchvision's CIFAR10 has them: data (N, 32, 32, 3), bytes from 0 to 255, and targets, a list."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.targets = rng.integers(0, 3, n).tolist()
        self.data = rng.integers(0, 80, (n, 32, 32, 3)).astype("uint8")
        for picture, target in zip(self.data, self.targets, strict=True):
            picture[..., target] += 120


@pytest.fixture(autouse=True)
def seeded():
    fc.manual_seed(1)
    with fc.use("cpu"):
        yield


def train(network, learning_rate):
    pictures = Pictures(8, seed=0)
    images, labels = pictures.data.transpose(0, 3, 1, 2) / np.float32(255), np.array(pictures.targets)
    data_loader = DataLoader(dataset=(images, labels), batch_size=4, shuffle=True, drop_last=True)

    network = network.to(device)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(network.parameters(), lr=learning_rate)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[75, 150], gamma=0.5)

    network.train()
    total_batch = len(data_loader)
    for epoch in range(training_epochs):
        avg_cost = 0
        for img, label in data_loader:
            img = img.to(device)
            label = label.to(device)
            pred = network(img)
            loss = loss_function(pred, label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            avg_cost += loss / total_batch
        print("Epoch: %d, LR: %f, Loss: %f" % (epoch + 1, optimizer.param_groups[0]["lr"], avg_cost))  # noqa: UP031
        scheduler.step()
    print("Learning finished")


def accuracy(network):
    test = Pictures(40, seed=1)
    with fc.no_grad():
        network.eval()
        images = fc.tensor(test.data.transpose(0, 3, 1, 2)) / 255.0
        images = images.to(device)
        labels = fc.tensor(test.targets).to(device)
        prediction = network(images)
        correct = prediction.argmax(1) == labels
        return correct.mean().item()


def test_base_code_and_improved_network_have_the_lectures_sizes():
    for network, maps, count in ((LeNet5(), 6, 62_006), (LeNet5(32, 64, nn.MaxPool2d), 32, 256_830)):
        s = fc.summary(network, (3, 32, 32))
        assert s.parameters == count
        assert s.rows[0].shape == (maps, 28, 28)


def test_the_loop_learns_and_prints_the_lectures_lines(capsys):
    """Epochs 1 to 75 at 0.001, 76 to 150 at 0.0005, the rest at 0.00025, as torch.optim.MultiStepLR counts them.

    The lecture's table (1-74, 75-149, 150-200) starts each rate one epoch early.
    """
    network = LeNet5()
    train(network, 0.001)
    *epochs, last = capsys.readouterr().out.splitlines()
    assert last == "Learning finished"
    assert len(epochs) == 200
    found = [re.fullmatch(r"Epoch: (\d+), LR: (0\.\d{6}), Loss: (\d+\.\d{6})", line).groups() for line in epochs]
    assert [int(number) for number, _, _ in found] == list(range(1, 201))
    assert [rate for _, rate, _ in found] == ["0.001000"] * 75 + ["0.000500"] * 75 + ["0.000250"] * 50
    losses = [float(loss) for _, _, loss in found]
    assert losses[-1] < 0.05 < 0.5 < losses[0]
    assert accuracy(network) == 1


def test_the_same_loop_compiled_gives_the_same_losses():
    """200 steps of the improved network's loop, eager and as one plan."""
    x, t = fc.tensor(Pictures(4, 0).data.transpose(0, 3, 1, 2)) / 255.0, Pictures(4, 0).targets
    losses = []
    for compiled in (False, True):
        fc.manual_seed(2)
        network = LeNet5(8, 8, nn.MaxPool2d)
        optimizer = optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        step = fc.compile(network, nn.CrossEntropyLoss(), optimizer)
        losses.append([])
        for _ in range(200):
            if compiled:
                loss = step(x, np.array(t))
            else:
                loss = F.cross_entropy(network(x), np.array(t))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses[-1].append(loss.item())
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3, atol=1e-5)
    assert losses[0][-1] < 0.01
