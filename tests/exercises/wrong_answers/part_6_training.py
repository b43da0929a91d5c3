"""Wrong answers to the exercises of part 6."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "forget_bias": [
        Wrong("i, f, g, o = bias.chunk(4)", "f, i, g, o = bias.chunk(4)"),
        Wrong("torch.cat([i, opened, g, o])", "torch.cat([opened, f, g, o])"),
        Wrong("torch.full_like(f, value)", "f + value"),
        Wrong("f = torch.sigmoid(bias)", "f = bias"),
        Wrong("f**steps", "f * steps"),
    ],
    "orthogonal_weights": [
        Wrong("torch.linalg.qr(block)", "torch.linalg.qr(random)"),
        Wrong("q, _ = torch.linalg.qr(block)", "_, q = torch.linalg.qr(block)"),
        Wrong("orthogonal.append(q)", "orthogonal.append(block)"),
        Wrong("torch.cat(orthogonal)", "torch.stack(orthogonal)"),
        Wrong("random.chunk(gates)", "random.chunk(gates)[:1]"),
    ],
    "dropout_between_layers": [
        Wrong("if k < len(weights) - 1:", "if k < len(weights):"),
        Wrong("if k < len(weights) - 1:", "if k > 0:"),
        Wrong("output = drop(output)", "h = drop(h)"),
        Wrong("rnn_layer(output, h_0[k]", "rnn_layer(drop(output), h_0[k]"),
        Wrong("rnn_layer(output, h_0[k]", "rnn_layer(output, drop(h_0[k])"),
    ],
    "adding_problem": [
        Wrong("markers[second, rows] = 1.0", "markers[first, rows] = 1.0"),
        Wrong("markers[first, rows] = 1.0", "markers[rows, first] = 1.0"),
        Wrong("torch.stack([values, markers], dim=-1)", "torch.stack([markers, values], dim=-1)"),
        Wrong("torch.stack([values, markers], dim=-1)", "torch.stack([values, markers])"),
        Wrong("(values * markers).sum(0)", "(values * markers).sum(1)"),
        Wrong("(values * markers).sum(0)", "(values + markers).sum(0)"),
        Wrong("(values * markers).sum(0)", "(values * markers).mean(0)"),
    ],
    "copying_task": [
        Wrong("torch.cat([symbols, delay, cue, rest])", "torch.cat([symbols, cue, delay, rest])"),
        Wrong("new_full((1, batch), CUE)", "new_full((len(symbols), batch), CUE)"),
        Wrong("(blanks, batch), BLANK", "(blanks, batch), 0"),
        Wrong("logits[-len(symbols) :]", "logits[: len(symbols)]"),
        Wrong("symbols.flatten()", "symbols.T.flatten()"),
        Wrong("answers.flatten(0, 1)", "answers.softmax(-1).flatten(0, 1)"),
    ],
    "character_model": [
        Wrong("targets = tokens[1:]", "targets = tokens[:-1]"),
        Wrong("inputs = tokens[:-1]", "inputs = tokens[1:]"),
        Wrong("targets.flatten()", "targets.T.flatten()"),
        Wrong("scaled = logits / temperature", "scaled = logits * temperature"),
        Wrong("dim=-1)", "dim=0) / 2"),
    ],
}
