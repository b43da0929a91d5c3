"""The copying task.

The network sees two random symbols, then 20 blanks, then a cue. From the cue on it must give the
symbols again, in their order:

    tokens    5  2  _  _  ...  _  _  !  _
    answer                           5  2

For K symbols there are K - 1 blanks after the cue, so that the network has K steps for its answer.
The 8 symbols are the tokens 0 ... 7, the blank is token 8 and the cue token 9. A network that
guesses is right in 1 of 8 cases.

The blanks are what makes it hard: the symbols must survive 20 steps without any use. An LSTM can
learn this much sooner if its forget gate starts open (here with a bias of 3): see ``forget_bias``.

Write the bodies of ``make_tokens`` and ``copy_loss``. The check compares them, then trains an RNN
and an LSTM with your functions, each for 400 batches of 32 sequences, and prints how many symbols
each gets right. To see it, run your file.

Shapes: symbols (K, B), integers; tokens (2K + blanks, B); logits (T, B, 8).

Source: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory (1997); M. Arjovsky et al., Unitary
Evolution Recurrent Neural Networks (2016), arXiv:1511.06464.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SYMBOLS, BLANK, CUE = 8, 8, 9
BLANKS, BATCH, HIDDEN, BATCHES = 20, 32, 32, 400


def make_tokens(symbols: Tensor, blanks: int) -> Tensor:
    """Return symbols, blanks, the cue and K - 1 more blanks as time steps: (2K + blanks, B)."""
    batch = symbols.size(1)
    # begin solution: put the tokens together; return tokens
    delay = symbols.new_full((blanks, batch), BLANK)  # the blanks, (blanks, B)
    cue = symbols.new_full((1, batch), CUE)  # the cue, (1, B)
    rest = symbols.new_full((len(symbols) - 1, batch), BLANK)  # K - 1 blanks, (K - 1, B)
    return torch.cat([symbols, delay, cue, rest])  # symbols, blanks, cue, K - 1 blanks
    # end solution


def copy_loss(logits: Tensor, symbols: Tensor) -> Tensor:
    """Return the mean cross entropy of the outputs from the cue on, a scalar."""
    # begin solution: select the outputs from the cue on, and compare them with the symbols
    answers = logits[-len(symbols) :]  # the last K steps, (K, B, 8)
    return F.cross_entropy(answers.flatten(0, 1), symbols.flatten())  # mean over all K*B answers
    # end solution


def train(layer: nn.Module, seed: int = 0) -> float:
    """Train a layer and a linear output; return the share of right symbols in 500 sequences."""
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(HIDDEN, SYMBOLS)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(BATCHES):
        symbols = torch.randint(0, SYMBOLS, (2, BATCH), generator=generator)
        output, _ = layer(F.one_hot(make_tokens(symbols, BLANKS), SYMBOLS + 2).float())
        loss = copy_loss(head(output), symbols)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    symbols = torch.randint(0, SYMBOLS, (2, 500), generator=generator)
    with torch.no_grad():
        output, _ = layer(F.one_hot(make_tokens(symbols, BLANKS), SYMBOLS + 2).float())
        right = head(output[-2:]).argmax(-1) == symbols
    share: float = int(right.sum()) / right.numel()
    return share


def make_layer(kind: str, forget_bias: float = 3.0) -> nn.Module:
    """Return an RNN, or an LSTM with an open forget gate."""
    torch.manual_seed(0)
    if kind == "RNN":
        return nn.RNN(SYMBOLS + 2, HIDDEN)
    lstm = nn.LSTM(SYMBOLS + 2, HIDDEN)
    with torch.no_grad():
        lstm.get_parameter("bias_hh_l0")[HIDDEN : 2 * HIDDEN] = forget_bias
    return lstm


if __name__ == "__main__":
    for kind in ("RNN", "LSTM"):
        print(f"{kind:4}  right symbols {train(make_layer(kind)):.0%}")
