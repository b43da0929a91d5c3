"""Minimal cells of further kinds: how the state is passed, and what is returned besides it."""
import torch
from torch import nn

S = torch.sigmoid


def lstm_step(a, c):
    i, f, g, o = a.chunk(4, -1)
    c = S(f) * c + S(i) * torch.tanh(g)
    return S(o) * torch.tanh(c), c


class KeywordParts(nn.Module):  # h and c are two keyword-only arguments
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def forward(self, x, *, h, c):
        return lstm_step(self.a(x) + self.b(h), c)

class KeywordPartsLayer(nn.Module):  # the same of a layer, None by default
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def forward(self, x, *, h0=None, c0=None):
        h = x.new_zeros(x.size(1), self.b.in_features) if h0 is None else h0
        c = torch.zeros_like(h) if c0 is None else c0
        out = []
        for t in x: h, c = lstm_step(self.a(t) + self.b(h), c); out.append(h)
        return torch.stack(out), (h, c)

class InitHidden(nn.Module):  # init_hidden(batch_size) sets the state; forward needs it
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.n = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h), h
    def init_hidden(self, batch_size):
        zeros = torch.zeros(batch_size, self.n)
        self.hidden = (zeros, zeros)
    def forward(self, x):
        h, c = self.hidden
        out = []
        for t in x: h, c = lstm_step(self.a(t) + self.b(h), c); out.append(h)
        return torch.stack(out), (h, c)

class ResetState(nn.Module):  # another name, no argument: the batch size is fixed
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.n = nn.Linear(i, h), nn.Linear(h, h), h
    def reset_state(self):
        self.h = None
    def forward(self, x):
        h = x.new_zeros(x.size(0), self.n) if self.h is None else self.h
        out = []
        for t in range(x.size(1)): h = torch.tanh(self.a(x[:, t]) + self.b(h)); out.append(h)
        return torch.stack(out, 1), h

class PooledFirst(nn.Module):  # attention over the outputs; returns (pooled, outputs)
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.score = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h), nn.Linear(h, 1)
    def forward(self, x):
        h = c = x.new_zeros(x.size(0), self.b.in_features); out = []
        for t in range(x.size(1)): h, c = lstm_step(self.a(x[:, t]) + self.b(h), c); out.append(h)
        out = torch.stack(out, 1)
        return (torch.softmax(self.score(out), 1) * out).sum(1), out

class PooledGRU(nn.Module):  # the same with a query vector, time first, and a wrong recurrence
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.query = nn.Linear(i, 3 * h), nn.Linear(h, 3 * h), nn.Parameter(torch.zeros(h))
    def forward(self, x):
        h, out = x.new_zeros(x.size(1), self.b.in_features), []
        for t in x:
            r, z, n = self.a(t).chunk(3, -1); s, y, m = self.b(h).chunk(3, -1)
            n = torch.tanh(n + m); z = S(z + y)
            h = (1 - z) * n + z * h; out.append(h)
        out = torch.stack(out)
        return torch.einsum("tb,tbh->bh", torch.softmax(out @ self.query, 0), out), out

class MeanFirst(nn.Module):  # a mean in the place of the final state: no parameters of a head
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, h), nn.Linear(h, h)
    def forward(self, x):
        h, out = x.new_zeros(x.size(1), self.b.in_features), []
        for t in x: h = torch.tanh(self.a(t) + self.b(h)); out.append(h)
        out = torch.stack(out)
        return out.mean(0), out

class SummedDirections(nn.Module):  # both directions, added
    def __init__(self, i, h):
        super().__init__(); self.f, self.r = nn.LSTM(i, h, batch_first=True), nn.LSTM(i, h, batch_first=True)
    def forward(self, x):
        out_f, _ = self.f(x); out_b, _ = self.r(x.flip(1))
        return out_f + out_b.flip(1)

class SummedHand(nn.Module):  # the same by hand, as an option
    def __init__(self, i, h, bidirectional=True):
        super().__init__(); self.n, self.both = h, bidirectional
        self.a, self.b = nn.Linear(i, h), nn.Linear(h, h)
        if bidirectional: self.c, self.d = nn.Linear(i, h), nn.Linear(h, h)
    def run_over(self, x, a, b):
        h, out = x.new_zeros(x.size(1), self.n), []
        for t in x: h = torch.tanh(a(t) + b(h)); out.append(h)
        return torch.stack(out)
    def forward(self, x):
        out = self.run_over(x, self.a, self.b)
        return out + self.run_over(x.flip(0), self.c, self.d).flip(0) if self.both else out
