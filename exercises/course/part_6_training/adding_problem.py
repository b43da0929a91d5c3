"""The adding problem.

Is the memory of an LSTM really longer than that of an RNN? This task of 1997 shows it. Each step
has two values: a random one between 0 and 1, and a marker. The marker is 1 at two steps, one in
each half of the sequence, and 0 at all others. After the last step the network must give the sum of
the two marked values:

    values    0.3  0.8  0.1  0.5  0.9  0.2
    markers    0    1    0    0    1    0       target = 0.8 + 0.9 = 1.7

Nothing but memory helps: the answer depends on two steps, and all others are noise. A network that
always answers 1 has a mean squared error of 1/6 = 0.167.

Write the body of ``make_batch``. The check compares the result, then trains an RNN and an LSTM on
your data, each for 400 batches of 32 sequences, and prints their errors. To see them, run your
file.

Shapes: values (T, B); first and second (B,), the marked steps of each sequence; x (T, B, 2), values
first; target (B,).

Source: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory (1997), experiment 4.
"""

import torch
from torch import Tensor, nn

TIME, BATCH, HIDDEN, BATCHES = 20, 32, 32, 400


def make_batch(values: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (T, B, 2) and target (B,)."""
    rows = torch.arange(values.size(1))
    markers = torch.zeros_like(values)
    # begin solution: set the markers, and compute x and target; return x, target
    markers[first, rows] = 1.0  # the marker of the first step is 1
    markers[second, rows] = 1.0  # the marker of the second step is 1
    x = torch.stack([values, markers], dim=-1)  # x (T, B, 2): value, marker
    target = (values * markers).sum(0)  # the sum of the two marked values, (B,)
    return x, target  # x, target
    # end solution


def draw_batch(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random batch of the task."""
    values = torch.rand(TIME, batch, generator=generator)
    first = torch.randint(0, TIME // 2, (batch,), generator=generator)
    second = torch.randint(TIME // 2, TIME, (batch,), generator=generator)
    return make_batch(values, first, second)


def train(layer: nn.Module, seed: int = 0) -> float:
    """Train a layer and a linear output; return the mean squared error on 500 new sequences."""
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(HIDDEN, 1)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(BATCHES):
        x, target = draw_batch(BATCH, generator)
        output, _ = layer(x)
        loss = ((head(output[-1])[:, 0] - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    x, target = draw_batch(500, generator)
    with torch.no_grad():
        error = ((head(layer(x)[0][-1])[:, 0] - target) ** 2).mean()
    return float(error)


def make_layer(kind: str, forget_bias: float = 1.0) -> nn.Module:
    """Return an RNN, or an LSTM with an open forget gate."""
    torch.manual_seed(0)
    if kind == "RNN":
        return nn.RNN(2, HIDDEN)
    lstm = nn.LSTM(2, HIDDEN)
    with torch.no_grad():
        lstm.get_parameter("bias_hh_l0")[HIDDEN : 2 * HIDDEN] = forget_bias
    return lstm


if __name__ == "__main__":
    for kind in ("RNN", "LSTM"):
        print(f"{kind:4}  error {train(make_layer(kind)):.3f}")
