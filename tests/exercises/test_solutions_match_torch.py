"""The solutions compared with torch.nn and with autograd, which share no code with them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from exercises.exercise import all_exercises, find_exercise

T, B, IN, H = 5, 3, 6, 4


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def solution(name: str) -> Any:
    return find_exercise(name).solution_module()


def weights_of(layer: nn.Module, suffix: str = "_l0") -> tuple[Tensor, ...]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return tuple(layer.get_parameter(name + suffix) for name in names)


def test_rnn_step() -> None:
    cell, x, h = nn.RNNCell(IN, H), torch.randn(B, IN), torch.randn(B, H)
    torch.testing.assert_close(
        solution("rnn_step").rnn_step(x, h, *weights_of(cell, "")), cell(x, h)
    )


def test_loop_over_time() -> None:
    layer, x, h_0 = nn.RNN(IN, H), torch.randn(T, B, IN), torch.randn(B, H)
    output, h_n = solution("loop_over_time").rnn_layer(x, h_0, *weights_of(layer))
    expected, final = layer(x, h_0[None])
    torch.testing.assert_close((output, h_n[None]), (expected, final))


def test_stacked_layers_and_dropout() -> None:
    layer, x, h_0 = nn.RNN(IN, H, num_layers=3), torch.randn(T, B, IN), torch.randn(3, B, H)
    weights = [weights_of(layer, f"_l{k}") for k in range(3)]
    expected = layer(x, h_0)
    torch.testing.assert_close(solution("stacked_layers").stacked_layers(x, h_0, weights), expected)
    dropout = solution("dropout_between_layers").stacked_layers
    torch.testing.assert_close(dropout(x, h_0, weights, lambda output: output), expected)
    layer.dropout = 1.0  # torch.nn then drops everything between layers
    all_dropped = dropout(x, h_0, weights, torch.zeros_like)
    torch.testing.assert_close(all_dropped, layer(x, h_0))


def test_both_directions() -> None:
    layer, x, h_0 = nn.RNN(IN, H, bidirectional=True), torch.randn(T, B, IN), torch.randn(2, B, H)
    weights = weights_of(layer), weights_of(layer, "_l0_reverse")
    ours = solution("both_directions").bidirectional_layer(x, h_0, *weights)
    torch.testing.assert_close(ours, layer(x, h_0))


def test_batch_first() -> None:
    layer, x, h_0 = nn.RNN(IN, H, batch_first=True), torch.randn(B, T, IN), torch.randn(1, B, H)
    ours = solution("batch_first").batch_first_layer(x, h_0, *weights_of(layer))
    torch.testing.assert_close(ours, layer(x, h_0))


def test_packed_sequences_and_final_state() -> None:
    layer, x, lengths = nn.RNN(IN, H), torch.randn(T, B, IN), torch.tensor([5, 3, 1])
    packed, h_0 = pack_padded_sequence(x, lengths), torch.randn(B, H)
    output, h_n = solution("packed_sequences").packed_layer(
        packed.data, packed.batch_sizes.tolist(), h_0, weights_of(layer)
    )
    expected, final = layer(packed, h_0[None])
    torch.testing.assert_close((output, h_n[None]), (expected.data, final))


def test_final_state() -> None:
    layer, lengths = nn.RNN(IN, H, bidirectional=True), torch.tensor([5, 3, 1])
    packed, h_n = layer(pack_padded_sequence(torch.randn(T, B, IN), lengths))
    output, _ = nn.utils.rnn.pad_packed_sequence(packed)
    ours = solution("final_state").final_states(output, lengths)
    torch.testing.assert_close(ours, torch.cat([h_n[0], h_n[1]], dim=-1))


def test_gru() -> None:
    cell, x, h = nn.GRUCell(IN, H), torch.randn(B, IN), torch.randn(B, H)
    r, z, n = zip(*(part.chunk(3) for part in weights_of(cell, "")), strict=True)
    gates = solution("gru_gates").gru_gates(x, h, r, z)
    torch.testing.assert_close(solution("gru_candidate").gru_candidate(x, h, *gates, n), cell(x, h))


def test_lstm() -> None:
    cell = nn.LSTMCell(IN, H)
    x, h, c = torch.randn(B, IN), torch.randn(B, H), torch.randn(B, H)
    expected = cell(x, (h, c))
    by_gate = zip(*(part.chunk(4) for part in weights_of(cell, "")), strict=True)
    i, f, g, o = solution("lstm_gates").lstm_gates(x, h, *by_gate)
    torch.testing.assert_close(solution("lstm_memory").lstm_memory(c, i, f, g, o), expected)
    fused = solution("lstm_step").lstm_step(x, h, c, *weights_of(cell, ""))
    torch.testing.assert_close(fused, expected)


def test_merged_biases_leave_the_gru_unchanged() -> None:
    cell, x, h = nn.GRUCell(IN, H), torch.randn(B, IN), torch.randn(B, H)
    before = cell(x, h)
    merged = solution("two_biases").merge_biases(cell.bias_ih.data, cell.bias_hh.data)
    cell.bias_ih.data, cell.bias_hh.data = merged
    torch.testing.assert_close(cell(x, h), before)
    assert int((cell.bias_hh == 0).sum()) == 2 * H


def gradients(outputs: Any, upstream: Any, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(outputs, inputs, upstream)


def leaves(*sizes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(*size, requires_grad=True) for size in sizes]


def test_rnn_backward() -> None:
    x, h_0, w_ih, w_hh, b = leaves((T, B, IN), (B, H), (H, IN), (H, H), (H,))
    states = [h_0]
    for x_t in x:
        states.append(torch.tanh(x_t @ w_ih.T + b + states[-1] @ w_hh.T))
    d_output, dh_n = torch.randn(T, B, H), torch.randn(B, H)
    expected = gradients(
        [torch.stack(states[1:]), states[-1]], [d_output, dh_n], [x, h_0, w_ih, w_hh, b]
    )
    with torch.no_grad():
        ours = solution("rnn_backward_loop").rnn_backward(
            d_output, dh_n, x, torch.stack(states), w_ih, w_hh
        )
    torch.testing.assert_close(ours, expected)


def test_rnn_backward_step() -> None:
    x, h, w_ih, w_hh, b = leaves((B, IN), (B, H), (H, IN), (H, H), (H,))
    h_next, dh_next = torch.tanh(x @ w_ih.T + b + h @ w_hh.T), torch.randn(B, H)
    expected = gradients(h_next, dh_next, [x, h, w_ih, w_hh, b])
    step = solution("rnn_backward_step").rnn_backward_step
    torch.testing.assert_close(step(dh_next, x, h, h_next, w_ih, w_hh), expected)


def test_lstm_backward() -> None:
    x, h, c = leaves((B, IN), (B, H), (B, H))
    w_ih, w_hh, b = leaves((4 * H, IN), (4 * H, H), (4 * H,))
    a_i, a_f, a_g, a_o = (x @ w_ih.T + h @ w_hh.T + b).chunk(4, dim=-1)
    gates = a_i.sigmoid(), a_f.sigmoid(), a_g.tanh(), a_o.sigmoid()
    i, f, g, o = gates
    c_next = f * c + i * g
    dh_next, dc_next = torch.randn(B, H), torch.randn(B, H)
    expected = gradients(
        [o * torch.tanh(c_next), c_next], [dh_next, dc_next], [x, h, c, w_ih, w_hh, b]
    )
    *of_gates, dc = solution("lstm_backward_memory").lstm_backward_memory(
        dh_next, dc_next, c, c_next, gates
    )
    dx, dh, *of_weights = solution("lstm_backward_gates").lstm_backward_gates(
        of_gates, gates, x, h, w_ih, w_hh
    )
    torch.testing.assert_close((dx, dh, dc, *of_weights), expected)


def test_gru_backward() -> None:
    x, h = leaves((B, IN), (B, H))
    w_ih, w_hh, b_ih, b_hh = leaves((3 * H, IN), (3 * H, H), (3 * H,), (3 * H,))
    x_r, x_z, x_n = (x @ w_ih.T + b_ih).chunk(3, dim=-1)
    h_r, h_z, s = (h @ w_hh.T + b_hh).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * s)
    dh_next = torch.randn(B, H)
    expected = gradients((1 - z) * n + z * h, dh_next, [x, h, w_ih, w_hh, b_ih, b_hh])
    of_gates = solution("gru_backward_gates").gru_backward_gates(dh_next, h, r, z, n, s)
    ours = solution("gru_backward_weights").gru_backward_weights(
        of_gates, dh_next, z, x, h, w_ih, w_hh
    )
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_gradient_clipping(factor: float) -> None:
    parameters = leaves((H, IN), (H,))
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    before = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = float(torch.cat([g.flatten() for g in before]).norm())
    ours = solution("gradient_clipping").clip_gradients([g.clone() for g in before], factor * norm)
    torch.nn.utils.clip_grad_norm_(parameters, factor * norm)
    expected = [parameter.grad for parameter in parameters]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)  # torch adds 1e-6 to the norm


def test_orthogonal_weights() -> None:
    weight = solution("orthogonal_weights").orthogonal_weight(torch.randn(3 * H, H))
    for block in weight.chunk(3):
        torch.testing.assert_close(block @ block.T, torch.eye(H))


LAYERS = {
    "hunt_1_lstm": ("LSTM", nn.LSTM),
    "hunt_2_gru": ("GRU", nn.GRU),
    "hunt_3_lstm": ("LSTM", nn.LSTM),
    "hunt_4_rnn": ("RNN", nn.RNN),
    "hunt_5_gru": ("GRU", nn.GRU),
    "hunt_6_lstm": ("LSTM", nn.LSTM),
    "hunt_10_gradients": ("LSTM", nn.LSTM),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_corrected_layers_of_the_hunts(name: str) -> None:
    ours_name, theirs_class = LAYERS[name]
    ours, theirs = getattr(solution(name), ours_name)(IN, H), theirs_class(IN, H)
    theirs.load_state_dict(
        {
            "weight_ih_l0": ours.input_to_hidden.weight,
            "weight_hh_l0": ours.hidden_to_hidden.weight,
            "bias_ih_l0": ours.input_to_hidden.bias,
            "bias_hh_l0": ours.hidden_to_hidden.bias,
        }
    )
    x = torch.randn(T, B, IN, requires_grad=True)
    state = [torch.randn(B, H) for _ in range(2 if ours_name == "LSTM" else 1)]
    output, *final = ours(x, *state)
    first = tuple(part[None] for part in state)
    expected, last = theirs(x, first if len(state) == 2 else first[0])
    last = last if isinstance(last, tuple) else (last,)
    torch.testing.assert_close([output, *final], [expected, *(part[0] for part in last)])
    upstream = torch.randn_like(output)
    torch.testing.assert_close(gradients(output, upstream, [x]), gradients(expected, upstream, [x]))


def test_every_mistake_hunt_gives_a_layer_that_is_wrong() -> None:
    hunts = [entry for entry in all_exercises() if entry.part == "part_5_mistakes"]
    assert len(hunts) == 10
    for entry in hunts:
        template = entry.template
        given = [line for region in template.regions for line in region.given]
        right = [line for region in template.regions for line in region.solution]
        code = [line.partition("  #")[0].rstrip() for line in right]
        changed = [ours for ours, theirs in zip(given, code, strict=True) if ours != theirs]
        assert len(changed) == 1, f"{entry.name}: {changed}"
