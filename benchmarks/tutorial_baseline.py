"""A typical tutorial program, the baseline of benchmarks.end_to_end.

    python -m benchmarks.tutorial_baseline --cell lstm --epochs 2 --data-dir data

It trains a recurrent layer on MNIST as most tutorials do: torchvision's data set with ToTensor, a
DataLoader that collates single images, torch.nn's layer, explicit zero initial states, the last
output read by ``out[:, -1]``, and the loss printed every hundred steps.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

INPUT_SIZE = 28
TIME = 28
HIDDEN_SIZE = 128
NUM_LAYERS = 2
NUM_CLASSES = 10
BATCH_SIZE = 100
LEARNING_RATE = 1e-3
LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Classifier(nn.Module):
    """A recurrent layer over (batch, 28, 28) and a linear readout of its last output."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.cell = cell
        self.layer = LAYERS[cell](INPUT_SIZE, HIDDEN_SIZE, NUM_LAYERS, batch_first=True)
        self.readout = nn.Linear(HIDDEN_SIZE, NUM_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(NUM_LAYERS, x.size(0), HIDDEN_SIZE)
        c0 = torch.zeros(NUM_LAYERS, x.size(0), HIDDEN_SIZE)
        out, _ = self.layer(x, (h0, c0) if self.cell == "lstm" else h0)
        logits: Tensor = self.readout(out[:, -1, :])
        return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=LAYERS, default="lstm", help="cell type")
    parser.add_argument(
        "--epochs", type=int, default=2, help="number of passes over the training images"
    )
    parser.add_argument("--data-dir", default="data", help="directory that contains MNIST/raw")
    arguments = parser.parse_args()

    to_tensor = transforms.ToTensor()
    train_set = datasets.MNIST(arguments.data_dir, train=True, transform=to_tensor)
    test_set = datasets.MNIST(arguments.data_dir, train=False, transform=to_tensor)
    train_loader = DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=BATCH_SIZE, shuffle=False)

    torch.manual_seed(0)
    model = Classifier(arguments.cell)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    for epoch in range(arguments.epochs):
        for step, (images, labels) in enumerate(train_loader):
            loss = criterion(model(images.reshape(-1, TIME, INPUT_SIZE)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (step + 1) % 100 == 0:
                print(f"epoch {epoch + 1}, step {step + 1}: loss {loss.item():.4f}")

    model.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in test_loader:
            predicted = model(images.reshape(-1, TIME, INPUT_SIZE)).argmax(dim=1)
            correct += (predicted == labels).sum().item()
    print(f"test accuracy {100 * correct / len(test_set):.2f} %")


if __name__ == "__main__":
    main()
