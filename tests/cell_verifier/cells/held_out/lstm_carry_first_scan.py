from torch import nn


class MyLSTM(nn.Module):
    """A cell as in JAX: (carry, x) -> (carry, y)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.dense_i = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.dense_h = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, carry, inputs):
        h, c = carry
        i, f, g, o = (self.dense_i(inputs) + self.dense_h(h)).chunk(4, -1)
        new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        new_h = o.sigmoid() * new_c.tanh()
        return (new_h, new_c), new_h
