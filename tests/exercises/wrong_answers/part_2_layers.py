"""Wrong answers to the exercises of part 2."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "stacked_layers": [
        Wrong("rnn_layer(output, h_0[k]", "rnn_layer(x, h_0[k]"),
        Wrong("rnn_layer(output, h_0[k]", "rnn_layer(output, h_0[0]"),
        Wrong("h_n = torch.stack(finals)", "h_n = torch.cat(finals)"),
        Wrong("h_n = torch.stack(finals)", "h_n = finals[-1]"),
        Wrong("finals.append(h)", "finals.append(h_0[k])"),
        Wrong("enumerate(weights)", "enumerate(weights[:-1])"),
    ],
    "both_directions": [
        Wrong("reverse = read_backwards.flip(0)", "reverse = read_backwards"),
        Wrong("x_backwards = x.flip(0)", "x_backwards = x"),
        Wrong("x_backwards = x.flip(0)", "x_backwards = x.flip(1)"),
        Wrong("torch.stack([h_forward, h_reverse])", "torch.stack([h_forward, reverse[-1]])"),
        Wrong("torch.cat([forward, reverse], dim=-1)", "torch.cat([forward, reverse])"),
        Wrong("(x_backwards, h_0[1]", "(x_backwards, h_0[0]"),
        Wrong("h_0[1], *reverse_weights", "h_0[1], *forward_weights"),
    ],
    "batch_first": [
        Wrong("x.transpose(0, 1)", "x.reshape(x.size(1), x.size(0), x.size(2))"),
        Wrong("steps.transpose(0, 1)", "steps"),
        Wrong("h.unsqueeze(0)", "h.unsqueeze(1)"),
        Wrong("h.unsqueeze(0)", "h"),
        Wrong("time_first = x.transpose(0, 1)", "time_first = x"),
    ],
    "packed_sequences": [
        Wrong("h = torch.cat([h_t, h[size:]])", "h = h_t"),
        Wrong("active = h[:size]", "active = h_0[:size]"),
        Wrong("start = start + size", "start = start + 1"),
        Wrong("start = start + size", "start = start + len(h_0)"),
        Wrong("output = torch.cat(outputs)", "output = torch.stack(outputs)"),
        Wrong("[h_t, h[size:]]", "[h[size:], h_t]"),
        Wrong("[h_t, h[size:]]", "[h_t, torch.zeros_like(h[size:])]"),
    ],
    "final_state": [
        Wrong("output[lengths - 1, rows, :hidden_size]", "output[-1, :, :hidden_size]"),
        Wrong("output[lengths - 1, rows", "output[lengths, rows"),
        Wrong("output[0, :, hidden_size:]", "output[-1, :, hidden_size:]"),
        Wrong("output[0, :, hidden_size:]", "output[lengths - 1, rows, hidden_size:]"),
        Wrong("[forward, reverse], dim=-1", "[forward, reverse], dim=0"),
    ],
}
