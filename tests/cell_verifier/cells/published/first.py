"""One minimal cell for each kind of cell that people publish and that is hard to judge."""
import torch
from torch import nn

S = torch.sigmoid


class Step(nn.Module):                                     # a right LSTM step
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def forward(self, x, h, c):
        i, f, g, o = (self.a(x) + self.b(h)).chunk(4, 1)
        c = S(f) * c + S(i) * g.tanh()
        return S(o) * c.tanh(), c

class LastStateOnly(nn.Module):
    def __init__(self, i, h, num_layers=1):
        super().__init__(); self.h = h
        self.cells = nn.ModuleList(Step(i if n == 0 else h, h) for n in range(num_layers))
    def forward(self, x):
        for cell in self.cells:
            h = c = x.new_zeros(x.size(1), self.h); out = []
            for t in x:
                h, c = cell(t, h, c); out.append(h)
            x = torch.stack(out)
        return x, (h[None], c[None])

class LastStateOnlyGiven(nn.Module):
    def __init__(self, i, h, num_layers=1):
        super().__init__(); self.h = h
        self.a, self.b = nn.ModuleList(nn.Linear(h if n else i, h) for n in range(num_layers)), nn.ModuleList(nn.Linear(h, h) for _ in range(num_layers))
    def forward(self, x, start=None):
        start = x.new_zeros(len(self.a), x.size(1), self.h) if start is None else start
        for h, a, b in zip(start, self.a, self.b):
            out = []
            for t in x: h = torch.tanh(a(t) + b(h)); out.append(h)
            x = torch.stack(out)
        return x, h[None]
class FirstDirectionOnly(nn.Module):
    def __init__(self, i, h, bidirectional=False):
        super().__init__(); self.h = h
        self.a, self.b = nn.Linear(i, h), nn.Linear(h, h)
        if bidirectional: self.c, self.d = nn.Linear(i, h), nn.Linear(h, h)
    def along(self, x, a, b):
        h, out = x.new_zeros(x.size(1), self.h), []
        for t in x: h = torch.tanh(a(t) + b(h)); out.append(h)
        return torch.stack(out), h
    def forward(self, x):
        out, h = self.along(x, self.a, self.b)
        if hasattr(self, "c"): out = torch.cat([out, self.along(x.flip(0), self.c, self.d)[0].flip(0)], -1)
        return out, h[None]

class RaisesGivenState(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.h = nn.Linear(i, h), nn.Linear(h, h), h
    def forward(self, x, state=None):
        h = [x.new_zeros(x.size(1), self.h)] if state is None else state.unbind(0)
        out = []
        for t in x:
            h[0] = torch.tanh(self.a(t) + self.b(h[0])); out.append(h[0])
        return torch.stack(out), torch.stack(tuple(h))

class DrawnInPlace(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.w, self.u = nn.Parameter(torch.empty(i, h)), nn.Parameter(torch.empty(h, h))
        for p in self.parameters(): p.uniform_(-.1, .1)
    def forward(self, x, h):
        out = []
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] @ self.w + h @ self.u); out.append(h)
        return torch.stack(out), h

class WantsThird(nn.Module):
    def __init__(self, i, h, classes):
        super().__init__(); self.a, self.b, self.top = nn.Linear(i, h), nn.Linear(h, h), nn.Linear(h, classes)
    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h)); return self.top(h), h
class Headed(WantsThird):
    def __init__(self, i, h): super().__init__(i, h, 5)
    def forward(self, x, h):
        h = torch.tanh(self.a(x) + torch.addmm(self.b.bias, h, self.b.weight.T)); return self.top(h), h
class HeadedLayer(Headed):
    def forward(self, x, h=None):
        h = x.new_zeros(x.size(0), 6) if h is None else h; out = []
        _, steps, _ = x.shape
        for t in range(steps):
            h = torch.tanh(self.a(x[:, t]) + self.b(h)); out.append(self.top(h))
        return torch.stack(out, 1), h
class WantsDevice(nn.Module):
    def __init__(self, i, h, device):
        super().__init__(); self.a, self.b = nn.Linear(i, h).to(device), nn.Linear(h, h).to(device)
    def forward(self, x, h): return torch.tanh(self.a(x) + self.b(h))
class TurnedSizes(nn.Module):
    def __init__(self, hidden_size, input_size):
        super().__init__(); self.a, self.b = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
    def forward(self, h, x): return torch.tanh(self.a(x) + self.b(h))

class CrashPeep(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.p, self.q = nn.Linear(i, 3 * h, bias=False), nn.Linear(h, 3 * h, bias=False), nn.Parameter(torch.zeros(h)), nn.Parameter(torch.zeros(h))
        self.d, self.e = nn.Parameter(torch.zeros(3 * h)), nn.Parameter(torch.zeros(3 * h))
    def forward(self, x, s):
        n, m, o = (self.a(x) + self.b(s[0]) + self.d + self.e).chunk(3, 1)
        m, o = S(m + self.p * s[1]), S(o + self.q * s[1])
        return (1 - m) * s[1] + m * n.tanh(), (1 - o) * n.tanh() + o * s[1]
class CrashNone(nn.Module):
    def __init__(self, i, h, bias=True):
        super().__init__(); self.w = nn.Parameter(torch.zeros(i + h, 4 * h)); self.d = nn.Parameter(torch.zeros(4 * h) if bias else None)
    def forward(self, x, s):
        a = torch.cat((x, s[0]), 1) @ self.w
        i, f, g, o = (a + self.d if self.d.numel() else a).chunk(4, 1)
        c = S(f) * s[1] + S(i) * g.tanh(); return S(o) * c.tanh(), c
class CrashArrange(nn.Module):
    def __init__(self, i, h, num_layers=1):
        super().__init__(); self.h = h; w = lambda *s: nn.Parameter(torch.zeros(*s)); self.cells = nn.ModuleList()
        for n in range(num_layers):
            self.cells.append(nn.ParameterDict({**{"H" + g: w(h, h) for g in "figo"}, **{"X" + g: w(h if n else i, h) for g in "figo"}, **{"b" + g: w(h) for g in "figo"}}))
    def forward(self, x):
        hs, cs = [], []
        for p in self.cells:
            h = c = x.new_zeros(x.size(1), self.h); out = []
            for t in x:
                i, f, g, o = (t @ p["X" + k] + h @ p["H" + k] + p["b" + k] for k in "ifgo")
                c = S(f) * c + S(i) * g.tanh(); h = S(o) * c.tanh(); out.append(h)
            x = torch.stack(out); hs.append(h); cs.append(c)
        return x, (hs, cs)

class BothByDefault(nn.Module):
    def __init__(self, i, h, bidirectional=True):
        super().__init__(); self.h, self.both = h, bidirectional
        self.a, self.b = nn.Linear(i, h), nn.Linear(h, h)
        if bidirectional: self.c, self.d = nn.Linear(i, h), nn.Linear(h, h)
    def along(self, x, a, b):
        h, out = x.new_zeros(x.size(1), self.h), []
        for t in x: h = torch.tanh(a(t) + b(h)); out.append(h)
        return out, h
    def forward(self, x):
        out, h = self.along(x, self.a, self.b)
        if not self.both: return torch.stack(out), h[None]
        back, k = self.along(x.flip(0), self.c, self.d)
        return torch.cat([torch.stack(out), torch.stack(back[::-1])], -1), torch.stack([h, k])
class BothAlways(BothByDefault):
    def __init__(self, i, h): super().__init__(i, h, True)

class MisspeltName(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.h = h; self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def forward(self, x, state):
        h, c = state
        i, f, g, o = (self.a(x) + self.b(h)).split(self.hh, 1)
        c = S(f) * c + S(i) * g.tanh()
        return S(o) * c.tanh(), c
class MisspeltOption(nn.Module):
    def __init__(self, i, h, bias=True):
        super().__init__(); self.w = nn.Parameter(torch.zeros(i + h, 4 * h)); self.bias = nn.Parameter(torch.zeros(4 * h)) if bias else 0
    def forward(self, x, h, c):
        assert h.size() == c.size()
        i, f, g, o = torch.addmm(self.bias, torch.cat((x, h), 1), self.w).chunk(4, 1)
        c = S(f) * c + S(i) * g.tanh()
        return S(o) * c.tanh(), c

class HAlone(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def forward(self, x, h):
        c, out = torch.zeros_like(h), []
        for t in x:
            i, f, o, g = (self.a(t) + self.b(h)).chunk(4, 1)
            c = S(f) * c + S(i) * g.tanh(); h = S(o) * c.tanh(); out.append(h)
        return torch.stack(out)
class OneStep3D(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.r, self.z, self.n = (nn.Linear(i + h, h) for _ in range(3))
    def forward(self, x, h):
        b = torch.cat((x, h), 2); r, z = S(self.r(b)), S(self.z(b))
        h = z * h + (1 - z) * torch.tanh(self.n(torch.cat((x, r * h), 2)))
        return h, h
class PerLayerPairs(nn.Module):
    def __init__(self, i, h, num_layers=1):
        super().__init__(); self.cells = nn.ModuleList(Step(h if n else i, h) for n in range(num_layers))
    def forward(self, x, states):
        last = []
        for cell, (h, c) in zip(self.cells, states, strict=True):
            out = []
            for t in x: h, c = cell(t, h, c); out.append(h)
            x = torch.stack(out); last.append((h, c))
        return x, last
class Keeps(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.cell, self.n, self.s = Step(i, h), h, None
    def forward(self, x):
        if self.s is None: self.s = (torch.zeros(x.size(0), self.n),) * 2
        self.s = self.cell(x, *self.s); return self.s[0]

class OwnNorm(nn.Module):
    class N(nn.Module):
        def __init__(self, n): super().__init__(); self.g, self.d = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))
        def forward(self, x): return self.g * (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-5) + self.d
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.n, self.m = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h), self.N(4 * h), self.N(4 * h)
    def forward(self, x, s):
        i, f, g, o = (self.n(self.a(x)) + self.m(self.b(s[0]))).chunk(4, 1)
        c = S(f) * s[1] + S(i) * g.tanh(); return S(o) * c.tanh(), c
class ScriptNorm(torch.jit.ScriptModule):
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.n, self.m = nn.Linear(i, 4 * h, bias=False), nn.Linear(h, 4 * h, bias=False), nn.LayerNorm(4 * h), nn.LayerNorm(4 * h)
    @torch.jit.script_method
    def forward(self, x, h, c):
        i, f, g, o = (self.n(self.a(x)) + self.m(self.b(h))).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g); return torch.sigmoid(o) * torch.tanh(c), c

class TwoCopied(nn.Module):
    def __init__(self, i, h):
        super().__init__(); w = lambda *s: nn.Parameter(torch.zeros(*s))
        for g in "ifgo": setattr(self, "w" + g, w(i + h, h)); setattr(self, "b" + g, w(h))
    def forward(self, x, s):
        z = torch.cat((x, s[0]), 1)
        c = S(z @ self.wf + self.bo) * s[1] + S(z @ self.wi + self.bo) * torch.tanh(z @ self.wg + self.bg)
        return S(z @ self.wo + self.bo) * c.tanh(), c
class GateShown(Step):
    def forward(self, x, c, h):
        i, f, g, o = (self.a(x) + self.b(h)).chunk(4, 1)
        c = S(f) * c + S(i) * g.tanh(); return S(o), c, S(o) * c.tanh()
class SharedStart(nn.Module):
    def __init__(self, i, h, num_layers=1):
        super().__init__(); self.h = h
        self.a, self.b = nn.ModuleList(nn.Linear(h if n else i, h) for n in range(num_layers)), nn.ModuleList(nn.Linear(h, h) for _ in range(num_layers))
    def forward(self, x, start=None):
        start = x.new_zeros(x.size(1), self.h) if start is None else start
        for a, b in zip(self.a, self.b):
            h, out = start, []
            for t in x: h = torch.tanh(a(t) + b(h)); out.append(h)
            x = torch.stack(out)
        return x, h
class DrawsStart(nn.Module):
    def __init__(self, i, h):
        super().__init__(); w = lambda *s: nn.Parameter(torch.zeros(*s)); self.h = h
        for g in "ifgo": setattr(self, "x" + g, w(i, h)); setattr(self, "u" + g, w(h)); setattr(self, "h" + g, w(h, h)); setattr(self, "v" + g, w(h))
    def forward(self, x):
        h, c, out = torch.rand(x.size(1), self.h), torch.rand(x.size(1), self.h), []
        for t in x:
            i, f, g, o = (t @ getattr(self, "x" + k) + h @ getattr(self, "h" + k) + getattr(self, "u" + k) + getattr(self, "v" + k) for k in "ifgo")
            c = S(f) * c + S(i) * g.tanh(); h = S(o) * c.tanh(); out.append(h)
        return torch.stack(out), None
