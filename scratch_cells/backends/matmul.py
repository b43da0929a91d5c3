"""Matrix products of many small matrices with the same weight, such as the recurrent ones.

torch multiplies float32 matrices on a CPU with its BLAS, which packs the weight again for every
product. oneDNN, which is part of torch, can pack it once for all time steps, and on some
processors its kernels use wider vectors. Measured: 0.67 times the time with a weight of 2048 x 512,
no gain with one of 512 x 128.
"""

import torch
from torch import Tensor

ONEDNN_MIN_ELEMENTS = 2**19
"""Elements. oneDNN packing is used for weights of at least this size."""

ONEDNN_MIN_STEPS = 16
"""Time steps. Packing a weight pays off from this number of products on."""


class Matmul:
    """x -> x Wᵀ + b with torch's own matrix product.

    Args:
        w: (m, n).
        b: (m,), or None without a bias.
    """

    def __init__(self, w: Tensor, b: Tensor | None = None) -> None:
        self.w_t = w.t()
        self.b = b

    def write(self, x: Tensor, out: Tensor) -> None:
        """``out`` = x Wᵀ + b: (rows, n) -> (rows, m)."""
        if self.b is None:
            torch.mm(x, self.w_t, out=out)
        else:
            torch.addmm(self.b, x, self.w_t, out=out)

    def add(self, x: Tensor, to: Tensor) -> Tensor:
        """``to`` += x Wᵀ: (rows, n) -> (rows, m)."""
        return to.addmm_(x, self.w_t)


class OneDNNMatmul(Matmul):
    """The same with oneDNN; W is stored in the layout that oneDNN chooses."""

    def __init__(self, w: Tensor, b: Tensor | None = None) -> None:
        self.packed = torch.ops.mkldnn._reorder_linear_weight(w.contiguous())
        self.b = b

    def write(self, x: Tensor, out: Tensor) -> None:
        out.copy_(self._linear(x, self.b))

    def add(self, x: Tensor, to: Tensor) -> Tensor:
        return to.add_(self._linear(x, None))

    def _linear(self, x: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, b, "none", [], "")
        return y


def make_matmul(w: Tensor, time: int, b: Tensor | None = None) -> Matmul:
    """The faster of the two for this weight in a sequence of ``time`` steps."""
    large = w.numel() >= ONEDNN_MIN_ELEMENTS and time >= ONEDNN_MIN_STEPS
    return OneDNNMatmul(w, b) if large and _onednn_supports(w) else Matmul(w, b)


def _onednn_supports(w: Tensor) -> bool:
    # The two operations are undocumented, so a version of torch may lack them.
    return (
        w.device.type == "cpu"
        and w.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
