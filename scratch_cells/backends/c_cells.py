"""The kernels of the ``c`` backend, one for each kind of cell."""

import ctypes

from torch import Tensor

from scratch_cells.backends.buffer_pool import BUFFER_POOL
from scratch_cells.backends.c_backend import CKernel, sequence_count
from scratch_cells.backends.c_compiler import SequenceArgs
from scratch_cells.backends.cell_kernel import (
    GRU_LAYOUT,
    LSTM_LAYOUT,
    PROJECTED_LSTM_LAYOUT,
    RNN_LAYOUT,
    Block,
    CellKernel,
)


class CRNNTanhKernel(CKernel):
    """The RNN with tanh."""

    layout = RNN_LAYOUT
    prefix = "rnn_tanh"


class CRNNReLUKernel(CKernel):
    """The RNN with ReLU."""

    layout = RNN_LAYOUT
    prefix = "rnn_relu"


class CGRUKernel(CKernel):
    """The GRU."""

    layout = GRU_LAYOUT
    prefix = "gru"


class CLSTMKernel(CKernel):
    """The LSTM."""

    layout = LSTM_LAYOUT
    prefix = "lstm"


class CProjectedLSTMKernel(CKernel):
    """The LSTM with a projection."""

    layout = PROJECTED_LSTM_LAYOUT
    prefix = "lstm_projected"

    def forward(self, block: Block, **more: int) -> None:
        u = self.w_hh.new_empty(sequence_count(block), self.hidden_size)
        super().forward(block, u=u.data_ptr())

    def backward(
        self,
        block: Block,
        d_outputs: Tensor | None,
        d_state: list[Tensor],
        d: Tensor,
        **more: int,
    ) -> None:
        rows = d.flatten(0, -2).size(0)
        du = block.h_after.new_empty(sequence_count(block), self.hidden_size)
        u = BUFFER_POOL.empty(rows, self.hidden_size, like=d)
        d_h = BUFFER_POOL.empty(rows, self.w_hh.size(1), like=d)
        addresses = {"du": du.data_ptr(), "u": u.data_ptr(), "d_h": d_h.data_ptr()}
        super().backward(block, d_outputs, d_state, d, **addresses)
        self._add_to_projection(u, d_h, self._threads(block))

    def _add_to_projection(self, u: Tensor, d_h: Tensor, threads: int) -> None:
        """dW_hr += d_hᵀ u, as the gradient of the weight of a layer of one gate and P units."""
        panels = u.new_empty(threads * self.library.panel_elements(max(u.size(1), d_h.size(1))))
        args = SequenceArgs(
            T=1,
            B=len(u),
            I=u.size(1),
            H=d_h.size(1),
            P=d_h.size(1),
            G=1,
            gradient_count=1,
            threads=threads,
            input=u.data_ptr(),
            input_row_stride=u.stride(0),
            d=d_h.data_ptr(),
            d_row_stride=d_h.stride(0),
            d_w_ih=self.d_w_hr.data_ptr(),
            panels=panels.data_ptr(),
        )
        self.library.add_to_weights(ctypes.byref(args))


KERNELS: dict[str, type[CellKernel]] = {
    "rnn_tanh": CRNNTanhKernel,
    "rnn_relu": CRNNReLUKernel,
    "gru": CGRUKernel,
    "lstm": CLSTMKernel,
    "lstm_projected": CProjectedLSTMKernel,
}
"""Kind of cell -> the kernel of this backend."""
