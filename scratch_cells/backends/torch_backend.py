"""The ``bptt`` backend: forward and backward of the three cells by tensor operations.

The gradients are derived by hand. dX denotes the gradient of the loss with respect to X. Only dh_t
and dc_t come from the later time steps; all other factors depend only on values saved in the
forward pass. So each backward pass first computes, for the whole block at once, the *factor* by
which dh_t or dc_t is multiplied. The loop over time is left with one elementwise product and the
recurrent matrix product.
"""

from abc import abstractmethod
from functools import cached_property

import numpy
import torch
from torch import Tensor

from scratch_cells.backends.cell_kernel import (
    GRU_LAYOUT,
    LSTM_LAYOUT,
    PROJECTED_LSTM_LAYOUT,
    RNN_LAYOUT,
    Block,
    CellKernel,
)
from scratch_cells.backends.matmul import Matmul, make_matmul


class TorchKernel(CellKernel):
    """A kernel that loops over time in Python and calls a few tensor operations in each step."""

    @cached_property
    def recurrent(self) -> Matmul:
        """h -> h W_hhᵀ."""
        return make_matmul(self.w_hh, self.time)

    @cached_property
    def recurrent_backward(self) -> Matmul:
        """d -> d W_hh, for the recurrent part of the gradients of a step."""
        return make_matmul(self.w_hh_for_backward().t(), self.time)

    def forward(self, block: Block) -> None:
        self.project(block)
        self.loop_forward(block)

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        self.loop_backward(block, d_outputs, d_state, d)
        self.write_d_input(block, d)

    @abstractmethod
    def loop_forward(self, block: Block) -> None:
        """The loop over time, from the projected input in ``block.gates``."""

    @abstractmethod
    def loop_backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        """The loop back over time: fill ``d`` and update ``d_state``; see ``backward``."""


class RNNTanhKernel(TorchKernel):
    """The RNN with tanh.

    a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
    h_t = tanh(a_t)

    da_t     = (1 - h_t²) ⊙ dh_t
    dh_{t-1} = da_t W_hh + d_output_{t-1}
    """

    layout = RNN_LAYOUT

    def loop_forward(self, block: Block) -> None:
        recurrent = self.recurrent
        a = block.steps(block.gates)
        h_before, h_after = block.h_steps()
        for t in block.order:
            self.activate(recurrent.add(h_before[t], to=a[t]), out=h_after[t])

    def loop_backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        (dh,) = map(block.active_rows, d_state)
        recurrent_backward = self.recurrent_backward
        (_, h_after), da = block.h_steps(), block.steps(d)
        d_outputs_t = None if d_outputs is None else block.steps(d_outputs)
        for t in reversed(block.order):
            if d_outputs_t is not None:
                dh[t].add_(d_outputs_t[t])
            self.activate_backward(dh[t], h_after[t], out=da[t])
            recurrent_backward.write(da[t], out=dh[t])

    def activate(self, a: Tensor, out: Tensor) -> None:
        """h = tanh(a)"""
        tanh(a, out=out)

    def activate_backward(self, dh: Tensor, h: Tensor, out: Tensor) -> None:
        """da = (1 - h²) ⊙ dh"""
        tanh_backward(dh, h, grad_input=out)


class RNNReLUKernel(RNNTanhKernel):
    """The RNN with h_t = max(a_t, 0): dh_t/da_t is 1 where h_t > 0 and 0 elsewhere."""

    def activate(self, a: Tensor, out: Tensor) -> None:
        torch.clamp_min(a, 0, out=out)

    def activate_backward(self, dh: Tensor, h: Tensor, out: Tensor) -> None:
        torch.mul(dh, h > 0, out=out)


class GRUKernel(TorchKernel):
    """The GRU.

        m_t = W_hn h_{t-1} + b_hn
        r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
        z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
        n_t = tanh(W_in x_t + b_in + r_t ⊙ m_t)
        h_t = n_t + z_t ⊙ (h_{t-1} - n_t)

    dr, dz and dn denote gradients with respect to the pre-activations:

        dn_t     = (1 - z_t) (1 - n_t²) ⊙ dh_t
        dz_t     = (h_{t-1} - n_t) z_t (1 - z_t) ⊙ dh_t
        dm_t     = dn_t ⊙ r_t
        dr_t     = dn_t ⊙ m_t r_t (1 - r_t)
        dh_{t-1} = z_t ⊙ dh_t + (dr_t, dz_t, dm_t) W_hh + d_output_{t-1}

    The gradients of a step are stored in the order dm, dr, dz, dn: the last three are those of the
    projected input, the first three those of the recurrent part. ``extra`` holds m.
    """

    layout = GRU_LAYOUT

    @cached_property
    def recurrent_r_z(self) -> Matmul:
        """h -> h (W_hr, W_hz)ᵀ."""
        return make_matmul(self.w_hh[: 2 * self.w_hh.size(1)], self.time)

    @cached_property
    def recurrent_n(self) -> Matmul:
        """h -> m = h W_hnᵀ + b_hn."""
        return make_matmul(self.w_hh[2 * self.w_hh.size(1) :], self.time, self.b_hn)

    def loop_forward(self, block: Block) -> None:
        recurrent_r_z, recurrent_n = self.recurrent_r_z, self.recurrent_n
        r_z = block.steps(block.gates[..., : 2 * self.w_hh.size(1)])
        r, z, n = map(block.steps, block.gates.chunk(3, dim=-1))
        m, (h_before, h_after) = block.steps(block.extra), block.h_steps()
        for t in block.order:
            h = h_before[t]
            recurrent_r_z.add(h, to=r_z[t]).sigmoid_()
            recurrent_n.write(h, out=m[t])
            tanh(n[t].addcmul_(r[t], m[t]), out=n[t])
            torch.lerp(n[t], h, z[t], out=h_after[t])

    def loop_backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        (dh,) = map(block.active_rows, d_state)
        recurrent_backward = self.recurrent_backward
        r, z, n = block.gates.chunk(3, dim=-1)
        dm, dr, dz, dn = d.chunk(4, dim=-1)
        tanh_backward(1 - z, n, grad_input=dn)
        sigmoid_backward(block.aligned(block.h_before) - n, z, grad_input=dz)
        torch.mul(dn, r, out=dm)
        sigmoid_backward(dn * block.extra, r, grad_input=dr)
        factors = block.steps(d.unflatten(-1, (4, -1)))
        d_recurrent, z_t = block.steps(self.recurrent_part(d)), block.steps(z)
        d_outputs_t = None if d_outputs is None else block.steps(d_outputs)
        for t in reversed(block.order):
            if d_outputs_t is not None:
                dh[t].add_(d_outputs_t[t])
            factors[t].mul_(dh[t].unsqueeze(1))
            recurrent_backward.add(d_recurrent[t], to=dh[t].mul_(z_t[t]))


class LSTMKernel(TorchKernel):
    """The LSTM.

        i_t, f_t, o_t = σ(...),  g_t = tanh(...)      of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
        h_t = o_t ⊙ tanh(c_t)

    di, df, dg and do denote gradients with respect to the pre-activations:

        dc_t    += o_t (1 - tanh²(c_t)) ⊙ dh_t
        di_t     = g_t i_t (1 - i_t) ⊙ dc_t
        df_t     = c_{t-1} f_t (1 - f_t) ⊙ dc_t
        dg_t     = i_t (1 - g_t²) ⊙ dc_t
        do_t     = tanh(c_t) o_t (1 - o_t) ⊙ dh_t
        dc_{t-1} = f_t ⊙ dc_t
        dh_{t-1} = (di_t, df_t, dg_t, do_t) W_hh + d_output_{t-1}

    ``extra`` holds tanh(c).
    """

    layout = LSTM_LAYOUT

    def loop_forward(self, block: Block) -> None:
        recurrent = self.recurrent
        a = block.steps(block.gates)
        i, f, g, o = map(block.steps, block.gates.chunk(4, dim=-1))
        i_f = block.steps(block.gates[..., : len(self.w_hh) // 2])
        (h_before, h_after), (c_before, c_after) = block.h_steps(), block.c_steps()
        tanh_c = block.steps(block.extra)
        for t in block.order:
            recurrent.add(h_before[t], to=a[t])
            i_f[t].sigmoid_()
            tanh(g[t], out=g[t])
            o[t].sigmoid_()
            torch.mul(f[t], c_before[t], out=c_after[t]).addcmul_(i[t], g[t])
            self.output(o[t], tanh(c_after[t], out=tanh_c[t]), out=h_after[t])

    def loop_backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        dh, dc = map(block.active_rows, d_state)
        recurrent_backward = self.recurrent_backward
        i, f, g, o = block.gates.chunk(4, dim=-1)
        tanh_c = block.extra
        di, df, dg, do = d.chunk(4, dim=-1)
        sigmoid_backward(g, i, grad_input=di)
        sigmoid_backward(block.aligned(block.c_before), f, grad_input=df)
        tanh_backward(i, g, grad_input=dg)
        sigmoid_backward(tanh_c, o, grad_input=do)
        dc_dh = block.steps(tanh_backward(o, tanh_c, grad_input=torch.empty_like(tanh_c)))
        di_df_dg = block.steps(d.unflatten(-1, (4, -1))[..., :3, :])
        do_t, d_t, f_t = map(block.steps, (do, d, f))
        d_outputs_t = None if d_outputs is None else block.steps(d_outputs)
        for t in reversed(block.order):
            if d_outputs_t is not None:
                dh[t].add_(d_outputs_t[t])
            du = self.output_backward(t, dh[t])
            dc[t].addcmul_(du, dc_dh[t])
            di_df_dg[t].mul_(dc[t].unsqueeze(1))  # i, f and g are scaled by dc, o by dh
            do_t[t].mul_(du)
            dc[t].mul_(f_t[t])
            recurrent_backward.write(d_t[t], out=dh[t])

    def output(self, o: Tensor, tanh_c: Tensor, out: Tensor) -> None:
        """h = o ⊙ tanh(c)"""
        torch.mul(o, tanh_c, out=out)

    def output_backward(self, t: int, dh: Tensor) -> Tensor:
        """The gradient of o ⊙ tanh(c) at step t."""
        return dh


class ProjectedLSTMKernel(LSTMKernel):
    """The LSTM with a projection.

    u_t  = o_t ⊙ tanh(c_t)
    h_t  = W_hr u_t

    du_t = dh_t W_hr      takes the place of dh_t in the equations of the LSTM
    dW_hr = Σ dh_tᵀ u_t
    """

    layout = PROJECTED_LSTM_LAYOUT

    def output(self, o: Tensor, tanh_c: Tensor, out: Tensor) -> None:
        assert self.w_hr is not None
        torch.mm(o * tanh_c, self.w_hr.t(), out=out)

    def output_backward(self, t: int, dh: Tensor) -> Tensor:
        assert self.w_hr is not None
        self.d_h[t].copy_(dh)
        return torch.mm(dh, self.w_hr, out=self.du[t])  # autocast ignores a product with ``out``

    def loop_backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        u = block.gates.chunk(4, dim=-1)[3] * block.extra
        d_h, du = d.new_empty(*d.shape[:-1], self.w_hh.size(1)), torch.empty_like(u)
        self.d_h, self.du = block.steps(d_h), block.steps(du)
        super().loop_backward(block, d_outputs, d_state, d)
        self.d_w_hr.addmm_(d_h.flatten(0, -2).t(), u.flatten(0, -2))


def tanh(a: Tensor, out: Tensor) -> Tensor:
    """tanh(a). On the CPU with NumPy, which is as accurate as torch and five times as fast."""
    if a.device.type == "cpu":
        numpy.tanh(a.numpy(), out=out.numpy())
        return out
    return torch.tanh(a, out=out)


sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
"""(d, s) -> d s (1 - s): given d = dL/ds with s = σ(a), the gradient dL/da."""

tanh_backward = torch.ops.aten.tanh_backward.grad_input
"""(d, t) -> d (1 - t²): given d = dL/dt with t = tanh(a), the gradient dL/da."""


KERNELS: dict[str, type[CellKernel]] = {
    "rnn_tanh": RNNTanhKernel,
    "rnn_relu": RNNReLUKernel,
    "gru": GRUKernel,
    "lstm": LSTMKernel,
    "lstm_projected": ProjectedLSTMKernel,
}
"""Kind of cell -> the kernel of this backend."""

DTYPES = (torch.float32, torch.float64)
"""What the kernels here compute exactly."""
