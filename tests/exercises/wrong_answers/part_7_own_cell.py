"""Wrong answers to the exercises of part 7."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "own_cell": [
        Wrong("h_next = keep * h + (1 - keep) * n", "h_next = n", line="return h_next"),
        Wrong("keep=torch.sigmoid(a_k))", "keep=torch.sigmoid(a_n))"),
        Wrong("a_n, a_k = a.chunk(2, dim=-1)", "a_n, a_k = a.chunk(2, dim=0)"),
        Wrong("candidate=torch.tanh(a_n), keep", "candidate=torch.softmax(a_n, dim=0), keep"),
        Wrong("keep=torch.sigmoid(a_k))", "keep=torch.sigmoid(a_k.detach()))"),
        Wrong("return h_next", "return h.mul_(keep) + (1 - keep) * n"),
        Wrong("return h_next", "return h_next.sum(-1)"),
        Wrong("return h_next", "return h_next + torch.rand_like(h)"),
    ],
    "gates_of_a_layer": [
        Wrong("gate.mean(dim=(1, 2))", "gate.mean(dim=(0, 1))"),
        Wrong("gate.mean(dim=(1, 2))", "gate.mean()"),
        Wrong("gates = trace(layer, x).of(layer=0)", "gates = trace(layer, x).of(layer=1)"),
        Wrong("gates = trace(layer, x)", "gates = trace(layer, x.transpose(0, 1))"),
    ],
}
