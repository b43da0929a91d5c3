"""Another minimal cell of each kind in ``first.py``."""
import torch
import torch.nn.functional as F
from torch import nn

S = torch.sigmoid


class GRUStep(nn.Module):  # a right GRU step
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 3 * h), nn.Linear(h, 3 * h)
    def forward(self, x, h):
        r, z, n = self.a(x).chunk(3, -1); s, y, m = self.b(h).chunk(3, -1)
        r, z = S(r + s), S(z + y); n = torch.tanh(n + r * m)
        return n + z * (h - n)

class LastLayerFlat(nn.Module):  # n_layers; only the last layer's h, (B, H)
    def __init__(self, input_dim, hidden_dim, n_layers=1):
        super().__init__(); self.n = hidden_dim
        self.steps = nn.ModuleList(GRUStep(hidden_dim if k else input_dim, hidden_dim) for k in range(n_layers))
    def forward(self, x):
        for step in self.steps:
            h, out = x.new_zeros(x.size(0), self.n), []
            for t in range(x.size(1)): h = step(x[:, t], h); out.append(h)
            x = torch.stack(out, 1)
        return x, h

class BackwardStateMissing(nn.Module):  # bidirectional LSTM that returns only the reverse state
    def __init__(self, i, h, bidirectional=False):
        super().__init__(); self.f = nn.LSTM(i, h); self.r = nn.LSTM(i, h) if bidirectional else None
    def forward(self, x):
        y, s = self.f(x)
        if self.r is None: return y, s
        z, s = self.r(x.flip(0)); return torch.cat([y, z.flip(0)], -1), s

class RaisesGivenPair(nn.Module):  # the name of the state is misspelt inside
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.h = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h), h
    def forward(self, x, hx=None):
        if hx is None: h = c = x.new_zeros(x.size(0), self.h)
        else: h, c = hx[0].view(-1, 2 * self.h, 1), hx[1]
        out = []
        for t in range(x.size(1)):
            i, f, g, o = (self.a(x[:, t]) + self.b(h)).chunk(4, -1)
            c = S(f) * c + S(i) * torch.tanh(g); h = S(o) * torch.tanh(c); out.append(h)
        return torch.stack(out, 1), (h, c)

class SetInPlace(nn.Module):  # a slice of a parameter is assigned in the constructor
    def __init__(self, i, h):
        super().__init__(); self.w, self.u, self.d = nn.Parameter(torch.empty(h, i)), nn.Parameter(torch.empty(h, h)), nn.Parameter(torch.zeros(h))
        self.d[0] = 1.0
    def forward(self, x, h): return torch.tanh(x @ self.w.T + h @ self.u.T + self.d)

class Tagger(nn.Module):  # tagset and device required, sizes last
    def __init__(self, num_classes: int, device, input_dim: int, hidden_dim: int, verbose: bool):
        super().__init__(); self.step = GRUStep(input_dim, hidden_dim).to(device); self.out = nn.Linear(hidden_dim, num_classes)
    def forward(self, inp, state): state = self.step(inp, state); return F.log_softmax(self.out(state), -1), state

class UnclearArgument(nn.Module):
    def __init__(self, i, h, flavour): super().__init__(); self.step = GRUStep(i, h)
    def forward(self, x, h): return self.step(x, h)

class SameWidthHead(nn.Module):  # an output layer as wide as h
    def __init__(self, input_size, hidden_size): super().__init__(); self.step, self.top = Step(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
    def forward(self, x, s): h, c = self.step(x, *s); return self.top(h), (h, c)

class Step(nn.Module):  # a right LSTM step
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def forward(self, x, h, c):
        i, f, g, o = (self.a(x) + self.b(h)).chunk(4, 1)
        c = S(f) * c + S(i) * g.tanh(); return S(o) * c.tanh(), c

class HeadedLSTMLayer(nn.Module):  # log-probabilities at every step
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__(); self.step, self.top, self.n = Step(input_size, hidden_size), nn.Linear(hidden_size, output_size), hidden_size
    def forward(self, x, state=None):
        h, c = state if state is not None else (x.new_zeros(x.size(1), self.n),) * 2; out = []
        for t in x: h, c = self.step(t, h, c); out.append(self.top(h).log_softmax(-1))
        return torch.stack(out), (h, c)

class CudaByDefault(nn.Module):
    def __init__(self, in_features, units, device="cuda"): super().__init__(); self.step = Step(in_features, units).to(device)
    def forward(self, x, h, c): return self.step(x, h, c)

class FourVectors(nn.Module):  # vectors that belong to no matrix: no gate can have two of them
    def __init__(self, i, h):
        super().__init__(); self.w, self.u = nn.Linear(i, 2 * h, bias=False), nn.Linear(h, 2 * h, bias=False)
        for k in range(5): setattr(self, f"v{k}", nn.Parameter(torch.zeros(2 * h)))
    def forward(self, x, h):
        z, n = (self.w(x) + self.u(h) + self.v0 + self.v1 * self.v2 + self.v3 + self.v4).chunk(2, 1)
        return (1 - S(z)) * n.tanh() + S(z) * h

class EmptyBias(nn.Module):  # a bias without elements with bias=False
    def __init__(self, i, h, bias=True):
        super().__init__(); self.a, self.b = nn.Parameter(torch.zeros(h, i)), nn.Parameter(torch.zeros(h, h)); self.d = nn.Parameter(torch.zeros(h if bias else 0))
    def forward(self, x, h):
        s = x @ self.a.T + h @ self.b.T; return torch.tanh(s + self.d if len(self.d) else s)

class PerGateLists(nn.Module):  # one list of layers for each gate
    def __init__(self, i, h, num_layers=1):
        super().__init__(); self.h = h
        for g in "rzn": setattr(self, g, nn.ModuleList(nn.Linear((h if k else i), h) for k in range(num_layers))); setattr(self, g + "h", nn.ModuleList(nn.Linear(h, h) for _ in range(num_layers)))
    def forward(self, x):
        last = []
        for k in range(len(self.r)):
            h, out = x.new_zeros(x.size(1), self.h), []
            for t in x:
                r, z = S(self.r[k](t) + self.rh[k](h)), S(self.z[k](t) + self.zh[k](h))
                n = torch.tanh(self.n[k](t) + r * self.nh[k](h)); h = (1 - z) * n + z * h; out.append(h)
            x = torch.stack(out); last.append(h)
        return x, last

class TwoLayersByDefault(nn.Module):
    def __init__(self, i, h, num_layers=2, dropout=0.5):
        super().__init__(); self.rnn = nn.GRU(i, h, num_layers, dropout=dropout)
    def forward(self, x, h=None): return self.rnn(x, h)

class AlwaysBothDirections(nn.Module):
    def __init__(self, i, h): super().__init__(); self.rnn = nn.LSTM(i, h, bidirectional=True, batch_first=True)
    def forward(self, x): return self.rnn(x)

class UndefinedVariable(nn.Module):
    def __init__(self, i, h): super().__init__(); self.a, self.b = nn.Linear(i, h), nn.Linear(h, h)
    def forward(self, x, h):
        new = torch.tanh(self.a(x) + self.b(hidden)); return new, new

class NoBiasRaises(nn.Module):
    def __init__(self, i, h, bias=True): super().__init__(); self.a, self.b = nn.Linear(i, h, bias=bias), nn.Linear(h, h, bias=bias)
    def forward(self, x, h):
        h = torch.relu(h) * 0 + h
        return torch.tanh(x @ self.a.weight.T + self.a.bias + self.b(h))

class HAloneLayers(nn.Module):  # forward(x, h0) with h0 (1, B, H); c starts at zero
    def __init__(self, i, h): super().__init__(); self.step = Step(i, h)
    def forward(self, x, h0):
        h = h0[0]; c, out = torch.zeros_like(h), []
        for t in range(x.size(1)): h, c = self.step(x[:, t], h, c); out.append(h)
        return torch.stack(out, 1), h

class OneStepBatchFirst(nn.Module):  # a decoder's step: x (B, 1, I), states (1, B, H)
    def __init__(self, i, h): super().__init__(); self.step = Step(i, h)
    def forward(self, x, s):
        assert x.size(1) == 1
        h, c = self.step(x.squeeze(1), s[0].squeeze(0), s[1].squeeze(0)); return h.unsqueeze(1), (h.unsqueeze(0), c.unsqueeze(0))

class ListOfH(nn.Module):  # [h] for each layer, required
    def __init__(self, i, h, num_layers=1): super().__init__(); self.steps = nn.ModuleList(GRUStep(h if k else i, h) for k in range(num_layers))
    def forward(self, x, hs):
        assert isinstance(hs, list); hs, out = list(hs), []
        for t in x:
            for k, step in enumerate(self.steps): hs[k] = t = step(t, hs[k])
            out.append(t)
        return torch.stack(out), hs

class KeepsInBuffer(nn.Module):
    def __init__(self, i, h): super().__init__(); self.step = GRUStep(i, h); self.register_buffer("h", torch.zeros(1, h))
    def forward(self, x): self.h = self.step(x, self.h.expand(x.size(0), -1) if self.h.size(0) == 1 else self.h); return self.h

class NormInForward(nn.Module):  # normalization by formula, with loose parameters
    def __init__(self, i, h): super().__init__(); self.a, self.b, self.g, self.d = nn.Linear(i, h), nn.Linear(h, h), nn.Parameter(torch.ones(h)), nn.Parameter(torch.zeros(h))
    def forward(self, x, h):
        s = self.a(x) + self.b(h); m = s.mean(-1, keepdim=True); v = ((s - m) ** 2).mean(-1, keepdim=True)
        return torch.tanh(self.g * (s - m) / torch.sqrt(v + 1e-5) + self.d)

class FunctionalNorm(nn.Module):  # no parameters of its own
    def __init__(self, i, h): super().__init__(); self.step = nn.Linear(i + h, 2 * h, bias=False); self.n = nn.Linear(i + h, h)
    def forward(self, x, h):
        r, z = F.layer_norm(self.step(torch.cat([x, h], 1)), (2 * h.size(1),)).chunk(2, 1)
        n = torch.tanh(self.n(torch.cat([x, S(r) * h], 1))); return (1 - S(z)) * n + S(z) * h

class ThreeCopied(nn.Module):  # both other gates of a GRU add the reset gate's bias
    def __init__(self, i, h):
        super().__init__(); w = lambda *s: nn.Parameter(torch.zeros(*s))
        for g in "rzn": setattr(self, "w" + g, w(h, i)); setattr(self, "u" + g, w(h, h)); setattr(self, "b" + g, w(h))
    def forward(self, x, h):
        r, z = S(x @ self.wr.T + h @ self.ur.T + self.br), S(x @ self.wz.T + h @ self.uz.T + self.br)
        n = torch.tanh(x @ self.wn.T + self.br + r * (h @ self.un.T)); return (1 - z) * n + z * h

class CFirst(Step):  # (x, (c, h)) -> (tanh c, (c, h))
    def forward(self, x, s): h, c = super().forward(x, s[1], s[0]); return c.tanh(), (c, h)

class SharedStartLSTM(nn.Module):  # one (h, c), each (B, H), for all layers
    def __init__(self, i, h, num_layers=1): super().__init__(); self.steps = nn.ModuleList(Step(h if k else i, h) for k in range(num_layers))
    def forward(self, x, state):
        for step in self.steps:
            (h, c), out = state, []
            for t in x: h, c = step(t, h, c); out.append(h)
            x = torch.stack(out)
        return x, (h, c)

class DropsInEval(nn.Module):
    def __init__(self, i, h): super().__init__(); self.step = GRUStep(i, h)
    def forward(self, x, h): return F.dropout(self.step(x, h), 0.5)


class SentenceClassifier(nn.Module):  # an embedding, an LSTM written by hand, a head
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes):
        super().__init__(); self.embed, self.rnn, self.fc = nn.Embedding(vocab_size, embed_dim), HeadlessLSTM(embed_dim, hidden_dim), nn.Linear(hidden_dim, num_classes)
    def forward(self, tokens): return self.fc(self.rnn(self.embed(tokens))[1]).log_softmax(-1)

class HeadlessLSTM(nn.Module):
    def __init__(self, i, h): super().__init__(); self.step, self.n = Step(i, h), h
    def forward(self, x):
        h = c = x.new_zeros(x.size(1), self.n); out = []
        for t in x: h, c = self.step(t, h, c); out.append(h)
        return torch.stack(out), h

class DigitClassifier(nn.Module):  # returns only logits; its GRU forgets to reset the gate
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__(); self.cell, self.out = NoReset(input_size, hidden_size), nn.Linear(hidden_size, output_size); self.n = hidden_size
    def forward(self, x):
        h = x.new_zeros(x.size(0), self.n)
        for t in range(x.size(1)): h = self.cell(x[:, t], h)
        return self.out(h)

class NoReset(GRUStep):
    def forward(self, x, h):
        r, z, n = self.a(x).chunk(3, -1); s, y, m = self.b(h).chunk(3, -1)
        z = S(z + y); return (1 - z) * torch.tanh(n + m) + z * h

class TokensOnly(nn.Module):  # an embedding, and the recurrence in its own forward
    def __init__(self, input_size, hidden_size): super().__init__(); self.embed, self.a = nn.Embedding(9, input_size), nn.Linear(input_size + hidden_size, hidden_size)
    def forward(self, tokens, h): return torch.tanh(self.a(torch.cat([self.embed(tokens), h], 1)))

class NotRecurrent(nn.Module):
    def __init__(self, i, h): super().__init__(); self.net = nn.Sequential(nn.Linear(i, 7), nn.ReLU(), nn.Linear(7, 3))
    def forward(self, x): return self.net(x)


class WrongShapeLayer(nn.Module):  # a right cell in a layer that joins time and batch
    def __init__(self, i, h): super().__init__(); self.cell, self.n = GRUStep(i, h), h
    def forward(self, x):
        h, out = x.new_zeros(x.size(1), self.n), []
        for t in x: h = self.cell(t, h); out.append(h)
        return torch.cat(out)
