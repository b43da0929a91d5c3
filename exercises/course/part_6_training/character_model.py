"""A small character model.

A language model predicts the next token from all tokens before it. For a recurrent network this is
the loop over time and nothing else: at step t it has read tokens 0 ... t, and predicts token t + 1.
So the targets are the inputs, one step later:

    tokens     t h e   c e l l
    inputs     t h e   c e l
    targets    h e   c e l l

The loss is the cross entropy, averaged over all predictions. To write text, draw the next token
from the probabilities softmax(logits / temperature): a low temperature is careful, a high one is
wild.

Write the bodies of ``next_token_loss`` and ``next_token_probabilities``. The check compares them,
then trains a small LSTM on one paragraph, and prints what it writes. To see it, run your file.

Shapes: tokens (T+1, B), integers; the model maps (T, B) to logits (T, B, V) for V different tokens.

Source: A. Karpathy, The Unreasonable Effectiveness of Recurrent Neural Networks (2015).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEXT = (
    "a recurrent network reads a sequence one step at a time and keeps what it has read in its "
    "state. the state after the last step depends on every step before it. an open forget gate "
    "keeps the cell state and a closed forget gate erases it. the input gate decides what is "
    "written to the cell state and the output gate decides what is shown. "
)


def next_token_loss(model: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Return the mean cross entropy of all predictions of the next token, a scalar."""
    # begin solution: separate inputs and targets, run the model, compute the loss
    inputs = tokens[:-1]  # tokens 0 ... T-1, (T, B)
    targets = tokens[1:]  # tokens 1 ... T, (T, B)
    logits = model(inputs)  # (T, B, V)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # mean over T*B predictions
    # end solution


def next_token_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Return the probabilities of the next token, (V,), for logits (V,)."""
    # begin solution: divide by the temperature, and normalize
    scaled = logits / temperature  # logits / temperature
    return torch.softmax(scaled, dim=-1)  # softmax(logits / temperature)
    # end solution


class CharacterModel(nn.Module):
    """An embedding, an LSTM and a linear output."""

    def __init__(self, num_tokens: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, 16)
        self.lstm = nn.LSTM(16, hidden_size)
        self.head = nn.Linear(hidden_size, num_tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits, (T, B, V), for tokens (T, B)."""
        output, _ = self.lstm(self.embedding(tokens))
        logits: Tensor = self.head(output)
        return logits


def train(batches: int = 150, seed: int = 0) -> tuple[float, str]:
    """Train on random pieces of ``TEXT``; return the last loss, and text that the model writes."""
    torch.manual_seed(seed)
    characters = sorted(set(TEXT))
    data = torch.tensor([characters.index(each) for each in TEXT])
    model = CharacterModel(len(characters))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(batches):
        starts = torch.randint(0, len(data) - 33, (16,)).tolist()
        pieces = torch.stack([data[start : start + 33] for start in starts], dim=1)  # (33, 16)
        loss = next_token_loss(model, pieces)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), write(model, characters)


def write(model: CharacterModel, characters: list[str], length: int = 120) -> str:
    """Return text that the model writes, one character after the other."""
    tokens = [characters.index("t")]
    with torch.no_grad():
        for _ in range(length):
            logits = model(torch.tensor(tokens[-64:])[:, None])[-1, 0]
            probabilities = next_token_probabilities(logits, temperature=0.5)
            tokens.append(int(torch.multinomial(probabilities, 1)))
    return "".join(characters[token] for token in tokens)


if __name__ == "__main__":
    last_loss, text = train()
    print(f"loss {last_loss:.2f}\n{text}")
