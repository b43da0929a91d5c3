"""Training, randomness, precision and threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from tests.public_reports.helpers import DOUBLE, KINDS, close, gradient_of
from tests.public_reports.report import not_supported, raises, report


@report("pytorch/pytorch#90168", "Dropout makes LSTM non-deterministic")
def dropout_with_a_seed(layers: Any) -> None:
    """Repeat a forward pass with dropout and the same seed: the results are equal."""
    layer = layers.LSTM(4, 4, 2, dropout=0.5)
    outputs = []
    for _ in range(3):
        torch.manual_seed(1)
        outputs.append(layer(torch.randn(4, 4))[0])
    assert torch.equal(outputs[0], outputs[1]), "the results differ"
    assert torch.equal(outputs[0], outputs[2]), "the results differ"
    assert not torch.equal(outputs[0], layer.eval()(torch.randn(4, 4))[0])


@report(
    "pytorch/pytorch#177016",
    "[CUDA] nn.LSTM numerical inconsistency: Sample Independence Violation (NaN in batch vs valid "
    "individually) at float32 edge values",
)
def sample_with_extreme_values(layers: Any) -> None:
    """Put a sample of NaN or of the largest float32 into a batch: the others stay as they are."""
    for kind in KINDS:
        layer = getattr(layers, kind)(3, 4, 2, bidirectional=True)
        x = torch.randn(5, 4, 3)
        expected = layer(x)[0]
        for value in (float("nan"), torch.finfo(torch.float32).max):
            x[:, 2] = value
            torch.testing.assert_close(layer(x)[0][:, [0, 1, 3]], expected[:, [0, 1, 3]])


@report("pytorch/pytorch#776", "Failed when RNN run with cudnn with `requires_grad` set to `False`")
def frozen_weights(layers: Any) -> None:
    """Freeze all weights: the gradient with respect to the input is the same."""
    layer = layers.LSTM(2, 3, bidirectional=True, **DOUBLE)
    x = torch.ones(4, 5, 2, requires_grad=True, **DOUBLE)
    (expected,) = torch.autograd.grad(layer(x)[0].sum(), x)
    layer.requires_grad_(False)
    layer(x)[0].sum().backward()
    close(x.grad, expected)
    assert all(weight.grad is None for weight in layer.parameters())


@report("pytorch/pytorch#777", "Failed for accumulation of gradients for RNN with cudnn")
def two_backward_passes(layers: Any) -> None:
    """Run the backward pass twice with `retain_graph=True`: the gradients add up."""
    layer = layers.LSTM(2, 3, bidirectional=True, **DOUBLE)
    output = layer(torch.ones(4, 5, 2, **DOUBLE))[0]
    output.backward(torch.ones_like(output), retain_graph=True)
    once = layer.weight_hh_l0.grad.clone()
    output.backward(torch.ones_like(output))
    close(layer.weight_hh_l0.grad, 2 * once)


SECOND = raises("RuntimeError: Trying to backward through the graph a second time")


@report(
    "MorvanZhou/PyTorch-Tutorial#57",
    "403: question about h_state = h_state.data",
    torch_nn=SECOND,
    scratch_cells=SECOND,
    invalid=True,
)
def state_that_is_not_detached(layers: Any) -> None:
    """Pass the state on to the next batch without `detach()`."""
    layer, state = layers.RNN(3, 4), None
    for _ in range(2):
        output, state = layer(torch.randn(5, 2, 3), state)
        output.sum().backward()


@report("LiyuanLucasLiu/LD-Net#6", "What is repackage_hidden?")
def state_that_is_detached(layers: Any) -> None:
    """Read a sequence in two parts with a detached state: truncated backpropagation."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(8, 2, 3, **DOUBLE)
    _, state = layer(x[:4])
    output, _ = layer(x[4:], tuple(part.detach() for part in state))
    close(output, layer(x)[0][4:])
    truncated = gradient_of(layer, output.sum())
    full = gradient_of(layer, layer(x)[0][4:].sum())
    assert not torch.equal(truncated["weight_hh_l0"], full["weight_hh_l0"])


@report(
    "facebookresearch/fairseq#251",
    "Problem About Changing the encoder_out",
    torch_nn=not_supported("RuntimeError: one of the variables needed for gradient computation"),
)
def output_changed_in_place(layers: Any) -> None:
    """Change the output of an LSTM in place before the backward pass."""
    layer = layers.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    output = layer(x)[0]
    expected = gradient_of(layer, torch.cat([2 * output[..., :1], output[..., 1:]], -1).sum())
    output = layer(x)[0]
    output[..., 0] *= 2
    for name, gradient in gradient_of(layer, output.sum()).items():
        torch.testing.assert_close(gradient, expected[name])


@report("pytorch/pytorch#1868", "segfault in python multithreaded setting")
def training_in_threads(layers: Any) -> None:
    """Train five models in five threads: each has the weights that it has alone."""

    def train(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        layer = layers.GRU(8, 16, **DOUBLE)
        with torch.no_grad():
            for weight in layer.parameters():
                weight.uniform_(-0.2, 0.2, generator=generator)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
        for _ in range(10):
            x = torch.randn(20, 4, 8, generator=generator, **DOUBLE)
            optimizer.zero_grad()
            layer(x)[0].pow(2).mean().backward()
            optimizer.step()
        weight: Tensor = layer.weight_hh_l0.detach()
        return weight

    alone = [train(seed) for seed in range(5)]
    with ThreadPoolExecutor(5) as pool:
        together = list(pool.map(train, range(5)))
    close(together, alone)


@report("pytorch/pytorch#116925", "Bfloat16 operation not working on LSTM.")
def bfloat16(layers: Any) -> None:
    """Train an LSTM in bfloat16 on the CPU."""
    layer = layers.LSTM(3, 4, 2, dtype=torch.bfloat16)
    x = torch.randn(5, 2, 3, dtype=torch.bfloat16)
    output = layer(x)[0]
    output.sum().backward()
    double = nn.LSTM(3, 4, 2, **DOUBLE)
    double.load_state_dict({name: each.double() for name, each in layer.state_dict().items()})
    torch.testing.assert_close(output.double(), double(x.double())[0], rtol=0, atol=0.02)


@report("pytorch/pytorch#42605", "LSTMCell and GRUCell need autocast patching")
def cells_under_autocast(layers: Any) -> None:
    """Call the cells under `torch.autocast` to bfloat16 on the CPU and run the backward pass."""
    for kind in ("GRUCell", "LSTMCell"):
        cell = getattr(layers, kind)(3, 4)
        x = torch.randn(2, 3)
        with torch.autocast("cpu", torch.bfloat16):
            state = cell(x)
        expected = cell(x)
        torch.testing.assert_close(state, expected, rtol=0, atol=0.02, check_dtype=False)
        state[0].sum().backward()


@report("fastai/fastai#2850", "register_forward_hook in AWD_LSTM not working")
def forward_hook(layers: Any) -> None:
    """Register forward hooks on a layer in a model: they are called and change the result."""
    model = nn.ModuleDict({"rnn": layers.LSTM(3, 4, **DOUBLE)})
    x = torch.randn(5, 2, 3, **DOUBLE)
    expected = model["rnn"](2 * x)[0] / 2
    model["rnn"].register_forward_pre_hook(lambda _, inputs: (2 * inputs[0],))
    model["rnn"].register_forward_hook(lambda _, inputs, result: (result[0] / 2, result[1]))
    close(model["rnn"](x)[0], expected)
