"""The gradients of the three cells through time, derived by hand.

Each class walks a block of steps forward, keeping what the gradient needs, and back again; ``bptt``
cuts the sequence into blocks and does what all three have in common.

dX stands for the gradient of the loss with respect to X. Apart from dh_t and dc_t, which arrive
from the later steps, all that makes up the gradient of a step is known once the gates are. So each
backward walk first computes, for the whole block at once, the *factor* that dh_t or dc_t will meet,
and leaves to the loop one product, and the matrix product that no algebra removes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy
import torch
from torch import Tensor

from scratch_cells.backends.matmul import Product, product_with

SMALL_WEIGHT = 2**17
"""Up to so many numbers it pays to sum a weight's gradient transposed, and to turn it at the end.

The matrix library is up to twice as fast that way round, where the product is narrow."""


@dataclass(frozen=True)
class Block:
    """Consecutive steps of a sequence, as views into whole-sequence buffers.

    Attributes:
        order: the steps of the block, from 0, in the order of the walk.
        input, d_input: x and, on the way back if wanted, room for its gradient, (steps, B, I).
        gates: (steps, B, G*H): the projected input; after the walk the gates, activated.
        h_before, h_after: the hidden state before and after each step, (steps, B, H).
        c_before, c_after: the cell state before and after each step, of an LSTM.
        kept: what else the cell keeps of each step, (steps, B, H), if ``keeps``.
        keep: whether the walk back will come.
    """

    order: list[int]
    input: Tensor
    d_input: Tensor | None
    gates: Tensor
    h_before: Tensor
    h_after: Tensor
    c_before: Tensor
    c_after: Tensor
    kept: Tensor
    keep: bool


class Derivation(ABC):
    """One cell's walk along a block of steps, and back.

    Args:
        w_ih: (G*H, I).
        w_hh: (G*H, H).
        b_ih, b_hh: (G*H,), zero where the cell has no bias.
        time: steps of the sequence.
    """

    gate_count: ClassVar[int]
    """G, how many times H the rows of the weights are."""

    gradient_count: ClassVar[int]
    """How many times H the gradients of one step are."""

    carries_cell_state: ClassVar[bool] = False
    gates_are_states: ClassVar[bool] = False
    """Whether h is the only gate, so that both are written in one place."""
    keeps: ClassVar[bool] = False

    in_blocks: ClassVar[bool] = True
    """Whether the sequence comes block by block, or as one."""

    def __init__(self, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, time: int) -> None:
        self.w_ih = w_ih
        self.w_hh = w_hh
        self.time = time
        self.projection_bias = b_ih + b_hh  # added once, for the whole sequence

    @cached_property
    def projection(self) -> Product:
        """x -> W_ih x + b, with what biases may be added once."""
        return product_with(self.w_ih, self.time, self.projection_bias)

    @cached_property
    def along_w_hh(self) -> Product:
        """h -> h W_hhᵀ, the product of the walk forward."""
        return product_with(self.w_hh, self.time)

    @cached_property
    def back_along_w_hh(self) -> Product:
        """d -> d W_hh, the product of the walk back."""
        return product_with(self.w_hh.t(), self.time)

    def project(self, block: Block) -> None:
        """Fill the gates with the projected input, of all steps at once."""
        self.projection.write(block.input.flatten(0, 1), out=block.gates.flatten(0, 1))

    @abstractmethod
    def forward(self, block: Block) -> None:
        """Walk along: turn the projected inputs into gates, fill in the states."""

    @abstractmethod
    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        """Walk back.

        Args:
            block: as ``forward`` left it.
            d_outputs: gradient that reaches the outputs from outside, (steps, B, H).
            d_state: [dh], for an LSTM [dh, dc]: gradient of the state after the block, (B, H);
                turned, in place, into that of the state before it.
            d: filled with the gradients of every step, (steps, B, gradient_count*H).
        """

    def write_d_input(self, block: Block, d: Tensor) -> None:
        """From ``d`` the gradient of x, of all steps at once, if it is wanted."""
        if block.d_input is not None:
            d_projection = self.of_projection(d.flatten(0, 1))
            torch.mm(d_projection, self.w_ih, out=block.d_input.flatten(0, 1))

    def zeros_for(self, w: Tensor) -> Tensor:
        """Where the gradient of ``w`` is summed up; if it is small, column by column in memory."""
        small = w.numel() <= SMALL_WEIGHT
        return w.new_zeros(w.shape[::-1]).t() if small else w.new_zeros(w.shape)

    def add_to_weights(self, block: Block, d: Tensor, d_w_ih: Tensor, d_w_hh: Tensor) -> None:
        """From ``d`` what the block adds to the weights' gradients, of all steps at once."""
        d = d.flatten(0, 1)
        d_w_ih.addmm_(self.of_projection(d).t(), block.input.flatten(0, 1))
        d_w_hh.addmm_(self.of_product(d).t(), block.h_before.flatten(0, 1))

    def of_projection(self, d: Tensor) -> Tensor:
        """In ``d``, the gradient of W_ih x + b_ih: (..., G*H)."""
        return d

    def of_product(self, d: Tensor) -> Tensor:
        """In ``d``, the gradient of W_hh h + b_hh: (..., G*H)."""
        return d

    def rows_of_product(self, d_w: Tensor) -> Tensor:
        """The gradient of W_hh or b_hh, rows as in ``of_product`` -> rows as in W_hh."""
        return d_w


class TanhByHand(Derivation):
    """The RNN.

    a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
    h_t = tanh(a_t)

    da_t     = (1 - h_t²) ⊙ dh_t
    dh_{t-1} = da_t W_hh + d_output_{t-1}
    """

    gate_count = gradient_count = 1
    gates_are_states = True

    def forward(self, block: Block) -> None:
        along_w_hh = self.along_w_hh
        a = steps(block.gates)
        h_before, h_after = steps(block.h_before), steps(block.h_after)
        for t in block.order:
            self.activate(along_w_hh.add(h_before[t], to=a[t]), out=h_after[t])

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        (dh,) = d_state
        back_along_w_hh = self.back_along_w_hh
        h_after, da = steps(block.h_after), steps(d)
        for t in reversed(block.order):
            if d_outputs is not None:
                dh += d_outputs[t]
            self.through(dh, h_after[t], out=da[t])
            back_along_w_hh.write(da[t], out=dh)

    def activate(self, a: Tensor, out: Tensor) -> None:
        tanh(a, out=out)

    def through(self, dh: Tensor, h: Tensor, out: Tensor) -> None:
        """da = (1 - h²) ⊙ dh"""
        through_tanh(dh, h, grad_input=out)


class ReLUByHand(TanhByHand):
    """The RNN with h_t = max(a_t, 0): dh/da is 1 where h_t > 0, else 0."""

    def activate(self, a: Tensor, out: Tensor) -> None:
        torch.clamp_min(a, 0, out=out)

    def through(self, dh: Tensor, h: Tensor, out: Tensor) -> None:
        torch.mul(dh, h > 0, out=out)


class GRUByHand(Derivation):
    """The GRU.

        m_t = W_hn h_{t-1} + b_hn
        r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
        z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
        n_t = tanh(W_in x_t + b_in + r_t ⊙ m_t)
        h_t = n_t + z_t ⊙ (h_{t-1} - n_t)

    With r, z and n standing for their preactivations after a d:

        dn_t     = (1 - z_t) (1 - n_t²) ⊙ dh_t
        dz_t     = (h_{t-1} - n_t) z_t (1 - z_t) ⊙ dh_t
        dm_t     = dn_t ⊙ r_t
        dr_t     = dn_t ⊙ m_t r_t (1 - r_t)
        dh_{t-1} = z_t ⊙ dh_t + (dr_t, dz_t, dm_t) W_hh + d_output_{t-1}

    The gradients of a step lie in the order m, r, z, n: the last three are those of the projection,
    the first three those of the product, whose rows are rolled to match.
    """

    gate_count = 3
    gradient_count = 4
    keeps = True  # m

    def __init__(self, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, time: int) -> None:
        super().__init__(w_ih, w_hh, b_ih, b_hh, time)
        size = w_hh.size(1)
        self.w_hr_hz, self.w_hn = w_hh.split(2 * size)
        self.b_hn = b_hh[2 * size :]
        self.projection_bias[2 * size :] = b_ih[2 * size :]  # b_hn stays inside r's bracket

    @cached_property
    def along_w_hr_hz(self) -> Product:
        return product_with(self.w_hr_hz, self.time)

    @cached_property
    def along_w_hn(self) -> Product:
        return product_with(self.w_hn, self.time, self.b_hn)

    @cached_property
    def back_along_w_hh(self) -> Product:
        w_m_r_z = torch.cat([self.w_hn, self.w_hr_hz])
        return product_with(w_m_r_z.t(), self.time)

    def forward(self, block: Block) -> None:
        along_w_hr_hz, along_w_hn = self.along_w_hr_hz, self.along_w_hn
        r_z = steps(block.gates[..., : len(self.w_hr_hz)])
        r, z, n = (steps(gate) for gate in block.gates.chunk(3, dim=-1))
        m, h_before, h_after = steps(block.kept), steps(block.h_before), steps(block.h_after)
        for t in block.order:
            h = h_before[t]
            along_w_hr_hz.add(h, to=r_z[t]).sigmoid_()
            along_w_hn.write(h, out=m[t])
            tanh(n[t].addcmul_(r[t], m[t]), out=n[t])
            torch.lerp(n[t], h, z[t], out=h_after[t])

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        (dh,) = d_state
        back_along_w_hh = self.back_along_w_hh
        r, z, n = block.gates.chunk(3, dim=-1)
        dm, dr, dz, dn = d.chunk(4, dim=-1)
        through_tanh(1 - z, n, grad_input=dn)
        through_sigmoid(block.h_before - n, z, grad_input=dz)
        torch.mul(dn, r, out=dm)
        through_sigmoid(dn * block.kept, r, grad_input=dr)
        factors = steps(d.unflatten(-1, (4, -1)))
        d_product, z_t = steps(self.of_product(d)), steps(z)
        for t in reversed(block.order):
            if d_outputs is not None:
                dh += d_outputs[t]
            factors[t].mul_(dh.unsqueeze(1))
            back_along_w_hh.add(d_product[t], to=dh.mul_(z_t[t]))

    def of_projection(self, d: Tensor) -> Tensor:
        return d[..., d.size(-1) // 4 :]

    def of_product(self, d: Tensor) -> Tensor:
        return d[..., : d.size(-1) // 4 * 3]

    def rows_of_product(self, d_w: Tensor) -> Tensor:
        return d_w.roll(-self.w_hh.size(1), dims=0)  # m, r, z -> r, z, m


class LSTMByHand(Derivation):
    """The LSTM.

        i_t, f_t, o_t = σ(...),  g_t = tanh(...)      of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
        h_t = o_t ⊙ tanh(c_t)

    With i, f, g and o standing for their preactivations after a d:

        dc_t    += o_t (1 - tanh²(c_t)) ⊙ dh_t
        di_t     = g_t i_t (1 - i_t) ⊙ dc_t
        df_t     = c_{t-1} f_t (1 - f_t) ⊙ dc_t
        dg_t     = i_t (1 - g_t²) ⊙ dc_t
        do_t     = tanh(c_t) o_t (1 - o_t) ⊙ dh_t
        dc_{t-1} = f_t ⊙ dc_t
        dh_{t-1} = (di_t, df_t, dg_t, do_t) W_hh + d_output_{t-1}
    """

    gate_count = gradient_count = 4
    carries_cell_state = True
    keeps = True  # tanh(c)

    def forward(self, block: Block) -> None:
        along_w_hh = self.along_w_hh
        a = steps(block.gates)
        i, f, g, o = (steps(gate) for gate in block.gates.chunk(4, dim=-1))
        i_f = steps(block.gates[..., : len(self.w_hh) // 2])
        h_before, h_after = steps(block.h_before), steps(block.h_after)
        c_before, c_after, tanh_c = steps(block.c_before), steps(block.c_after), steps(block.kept)
        for t in block.order:
            along_w_hh.add(h_before[t], to=a[t])
            i_f[t].sigmoid_()
            tanh(g[t], out=g[t])
            o[t].sigmoid_()
            torch.mul(f[t], c_before[t], out=c_after[t]).addcmul_(i[t], g[t])
            torch.mul(o[t], tanh(c_after[t], out=tanh_c[t]), out=h_after[t])

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        dh, dc = d_state
        back_along_w_hh = self.back_along_w_hh
        i, f, g, o = block.gates.chunk(4, dim=-1)
        tanh_c = block.kept
        di, df, dg, do = d.chunk(4, dim=-1)
        through_sigmoid(g, i, grad_input=di)
        through_sigmoid(block.c_before, f, grad_input=df)
        through_tanh(i, g, grad_input=dg)
        through_sigmoid(tanh_c, o, grad_input=do)
        dc_dh = steps(through_tanh(o, tanh_c, grad_input=torch.empty_like(tanh_c)))
        of_dc = steps(d.unflatten(-1, (4, -1))[..., :3, :])  # i, f and g meet dc, o meets dh
        of_dh, every, f_t = steps(do), steps(d), steps(f)
        for t in reversed(block.order):
            if d_outputs is not None:
                dh += d_outputs[t]
            dc.addcmul_(dh, dc_dh[t])
            of_dc[t].mul_(dc.unsqueeze(1))
            of_dh[t].mul_(dh)
            dc.mul_(f_t[t])
            back_along_w_hh.write(every[t], out=dh)


def tanh(a: Tensor, out: Tensor) -> Tensor:
    """tanh(a), by NumPy on the CPU: as exact as torch's and five times as fast."""
    if a.device.type == "cpu":
        numpy.tanh(a.numpy(), out=out.numpy())
        return out
    return torch.tanh(a, out=out)


through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
"""(d, s): d s (1 - s). Where d is the gradient with respect to s = σ(a), that with respect to a."""

through_tanh = torch.ops.aten.tanh_backward.grad_input
"""(d, t): d (1 - t²). Likewise for t = tanh(a)."""


def steps(tensor: Tensor) -> tuple[Tensor, ...]:
    """(steps, ...) -> one view for each step."""
    return tensor.unbind(0)
