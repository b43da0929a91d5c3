"""Published variants of torch.nn's cells, in styles that differ from those in examples/."""
import torch
import torch.nn.functional as F
from torch import nn

S = torch.sigmoid


class PeepholeVectors(nn.Module):  # three loose vectors; o reads the new c
    def __init__(self, i, h):
        super().__init__(); self.wx, self.wh = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h, bias=False)
        self.w_ci, self.w_cf, self.w_co = (nn.Parameter(torch.randn(h)) for _ in range(3))
    def forward(self, x, state):
        h, c = state
        i, f, g, o = (self.wx(x) + self.wh(h)).chunk(4, 1)
        i, f = S(i + self.w_ci * c), S(f + self.w_cf * c)
        c = f * c + i * g.tanh()
        o = S(o + self.w_co * c)
        return o * c.tanh(), c

class PeepholeOldC(nn.Module):  # one matrix of three rows; every gate reads the old c; a layer
    def __init__(self, i, h):
        super().__init__(); self.lin, self.p, self.n = nn.Linear(i + h, 4 * h), nn.Parameter(torch.randn(3, h)), h
    def forward(self, xs):
        h = c = xs.new_zeros(xs.size(1), self.n); out = []
        for x in xs:
            i, f, o, g = self.lin(torch.cat([x, h], 1)).split(self.n, 1)
            i, f, o = S(i + self.p[0] * c), S(f + self.p[1] * c), S(o + self.p[2] * c)
            c = f * c + i * torch.tanh(g); h = o * torch.tanh(c); out.append(h)
        return torch.stack(out), (h, c)

class Coupled(nn.Module):  # i = 1 - f: three gates
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 3 * h), nn.Linear(h, 3 * h)
    def forward(self, x, h, c):
        f, g, o = (self.a(x) + self.b(h)).chunk(3, -1)
        f = S(f); c = f * c + (1 - f) * torch.tanh(g)
        return S(o) * torch.tanh(c), c

class NoForget(nn.Module):  # 1997: c' = c + i g, one nn.Linear a gate
    def __init__(self, i, h):
        super().__init__(); self.inp, self.cand, self.out = (nn.Linear(i + h, h) for _ in range(3))
    def forward(self, x, state):
        h, c = state; z = torch.cat([x, h], -1)
        c = c + S(self.inp(z)) * torch.tanh(self.cand(z))
        return S(self.out(z)) * torch.tanh(c), c

class Minimal(nn.Module):  # minimal gated unit
    def __init__(self, i, h):
        super().__init__(); self.wf, self.uf, self.wh, self.uh = nn.Linear(i, h), nn.Linear(h, h), nn.Linear(i, h), nn.Linear(h, h)
    def forward(self, x, h):
        f = S(self.wf(x) + self.uf(h)); n = torch.tanh(self.wh(x) + self.uh(f * h))
        return (1 - f) * h + f * n

class Independent(nn.Module):  # IndRNN
    def __init__(self, i, h):
        super().__init__(); self.W, self.u = nn.Linear(i, h), nn.Parameter(torch.rand(h))
    def forward(self, x, h):
        return F.relu(self.W(x) + self.u * h)

class MinGRU(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.z, self.cand, self.n = nn.Linear(i, h), nn.Linear(i, h), h
    def forward(self, x):
        h, out = x.new_zeros(x.size(0), self.n), []
        for t in range(x.size(1)):
            z = S(self.z(x[:, t])); h = (1 - z) * h + z * self.cand(x[:, t]); out.append(h)
        return torch.stack(out, 1), h

class MinLSTM(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.all = nn.Linear(i, 3 * h)
    def forward(self, x, h):
        f, i, n = self.all(x).chunk(3, -1); f, i = S(f), S(i); total = f + i
        return f / total * h + i / total * n

class NormedLSTM(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.na, self.nb, self.nc = nn.Linear(i, 4 * h, bias=False), nn.Linear(h, 4 * h, bias=False), nn.LayerNorm(4 * h), nn.LayerNorm(4 * h), nn.LayerNorm(h)
    def forward(self, x, state):
        h, c = state; i, f, g, o = (self.na(self.a(x)) + self.nb(self.b(h))).chunk(4, 1)
        c = S(f) * c + S(i) * g.tanh()
        return S(o) * self.nc(c).tanh(), c

class NormedGRU(nn.Module):
    def __init__(self, i, h):
        super().__init__(); self.a, self.b, self.na, self.nb = nn.Linear(i, 3 * h), nn.Linear(h, 3 * h), nn.LayerNorm(3 * h), nn.LayerNorm(3 * h)
    def forward(self, x, h):
        r, z, n = self.na(self.a(x)).chunk(3, 1); s, y, m = self.nb(self.b(h)).chunk(3, 1)
        z = S(z + y); n = torch.tanh(n + S(r + s) * m)
        return z * h + (1 - z) * n

class DroppedOut(nn.Module):  # recurrent dropout on the candidate
    def __init__(self, i, h, p=0.25):
        super().__init__(); self.a, self.b, self.drop = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h), nn.Dropout(p)
    def forward(self, x, state):
        h, c = state; i, f, g, o = (self.a(x) + self.b(h)).chunk(4, 1)
        c = S(f) * c + S(i) * self.drop(g.tanh())
        return S(o) * c.tanh(), c

class ZonedOut(nn.Module):  # zoneout of h and c; its expectation in evaluation mode
    def __init__(self, i, h):
        super().__init__(); self.a, self.b = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)
    def keep(self, old, new, p):
        if self.training: return torch.where(torch.rand_like(old) < p, old, new)
        return p * old + (1 - p) * new
    def forward(self, x, state):
        h, c = state; i, f, g, o = (self.a(x) + self.b(h)).chunk(4, 1)
        new = S(f) * c + S(i) * g.tanh()
        return self.keep(h, S(o) * new.tanh(), 0.1), self.keep(c, new, 0.2)
