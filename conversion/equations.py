"""The equations of Keras's and Flax's layers, in NumPy, to check a conversion without them.

They are those of the two libraries' documentation, with their names and layouts: kernels are
(inputs, gates * units), and x is (B, T, I).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from conversion.spec import Array

Direction = Callable[[Array], Array]
"""One layer in one direction: (B, T, I) -> (B, T, H)."""


def stacked(layers: Sequence[Sequence[Direction]]) -> Direction:
    """Several layers, each of one direction or two; the second reads the sequence in reverse."""

    def run(x: Array) -> Array:
        for directions in layers:
            outputs = [directions[0](x)]
            outputs += [reverse(x[:, ::-1])[:, ::-1] for reverse in directions[1:]]
            x = np.concatenate(outputs, axis=-1)
        return x

    return run


def sigmoid(a: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))


def keras_layer(
    kind: str, kernel: Array, recurrent_kernel: Array, bias: Array | None, nonlinearity: str
) -> Direction:
    """A layer of Keras: SimpleRNN, LSTM, or GRU with ``reset_after=True``."""
    units = len(recurrent_kernel)
    if bias is None:
        bias = np.zeros(kernel.shape[1], kernel.dtype)
    activation = np.tanh if nonlinearity == "tanh" else lambda a: np.maximum(a, 0)

    def run(x: Array) -> Array:
        h = c = np.zeros((len(x), units), x.dtype)
        outputs = []
        for t in range(x.shape[1]):
            if kind == "gru":
                input_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, 0 * bias)
                x_z, x_r, x_h = np.split(x[:, t] @ kernel + input_bias, 3, axis=-1)
                h_z, h_r, h_h = np.split(h @ recurrent_kernel + recurrent_bias, 3, axis=-1)
                z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
                h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
            elif kind == "lstm":
                a = x[:, t] @ kernel + h @ recurrent_kernel + bias
                i, f, candidate, o = np.split(a, 4, axis=-1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
                h = sigmoid(o) * np.tanh(c)
            else:
                h = activation(x[:, t] @ kernel + bias + h @ recurrent_kernel)
            outputs.append(h)
        return np.stack(outputs, axis=1)

    return run


def flax_layer(kind: str, params: Mapping[str, Mapping[str, Array]]) -> Direction:
    """A cell of ``flax.linen`` over a sequence: SimpleCell, GRUCell, LSTMCell."""

    def dense(name: str, inputs: Array) -> Array:
        product = inputs @ params[name]["kernel"]
        return np.asarray(product + params[name].get("bias", 0))

    units = len(next(each for name, each in params.items() if name.startswith("h"))["kernel"])

    def run(x: Array) -> Array:
        h = c = np.zeros((len(x), units), x.dtype)
        outputs = []
        for t in range(x.shape[1]):
            x_t = x[:, t]
            if kind == "gru":
                r = sigmoid(dense("ir", x_t) + dense("hr", h))
                z = sigmoid(dense("iz", x_t) + dense("hz", h))
                n = np.tanh(dense("in", x_t) + r * dense("hn", h))
                h = (1 - z) * n + z * h
            elif kind == "lstm":
                i, f, o = (sigmoid(dense(f"i{g}", x_t) + dense(f"h{g}", h)) for g in "ifo")
                c = f * c + i * np.tanh(dense("ig", x_t) + dense("hg", h))
                h = o * np.tanh(c)
            else:
                h = np.tanh(dense("i", x_t) + dense("h", h))
            outputs.append(h)
        return np.stack(outputs, axis=1)

    return run
