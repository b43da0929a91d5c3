"""Products of many small matrices with one weight, such as the recurrent one of every step.

torch multiplies float32 matrices on a CPU by its BLAS, which lays the weight out anew in every
product. oneDNN, which comes with torch, can do that once for all steps, and on some processors its
kernels use wider vectors. With a weight of 2048 x 512 a product was seen to take two thirds of the
time; with one of 512 x 128 nothing is gained.
"""

import torch
from torch import Tensor

LARGE = 2**19
"""Numbers in a weight from which on it is laid out for oneDNN."""
MANY = 16
"""Steps that pay for laying it out."""


class Product:
    """x -> x Wᵀ + b, by torch's own product.

    Args:
        w: (m, n).
        b: (m,), or None for none.
    """

    def __init__(self, w: Tensor, b: Tensor | None = None) -> None:
        self.w_t = w.t()
        self.b = b

    def write(self, x: Tensor, out: Tensor) -> None:
        """(rows, n) -> ``out`` = x Wᵀ + b, (rows, m)."""
        if self.b is None:
            torch.mm(x, self.w_t, out=out)
        else:
            torch.addmm(self.b, x, self.w_t, out=out)

    def add(self, x: Tensor, to: Tensor) -> Tensor:
        """(rows, n) -> ``to`` += x Wᵀ, (rows, m)."""
        return to.addmm_(x, self.w_t)


class ProductByOneDNN(Product):
    """The same by oneDNN, with W in the layout of its choice."""

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


def product_with(w: Tensor, time: int, b: Tensor | None = None) -> Product:
    """The faster of the two for a weight of this size in a sequence of so many steps."""
    if w.numel() >= LARGE and time >= MANY and _onednn_takes(w):
        return ProductByOneDNN(w, b)
    return Product(w, b)


def _onednn_takes(w: Tensor) -> bool:
    # The operations have no documented names: a torch without them does without.
    return (
        w.device.type == "cpu"
        and w.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
