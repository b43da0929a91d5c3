"""The shapes of a recurrent layer.

Most mistakes in recurrent networks are mistakes in shapes. Four letters are enough to write all of
them down: T time steps, B sequences in a batch, I values in the input of each step (input_size), H
units in the state (hidden_size). An LSTM has G = 4 gates, a GRU has 3, an RNN has 1.

    a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh      for all gates at once

W_ih turns the I values of x_t into one value for each unit of each gate. The matrices of the gates
are stacked along dimension 0. There is one bias vector for each matrix.

A layer of torch.nn reads x, time first, and returns ``output``, the state h_t after every step, and
``h_n``, the state after the last step, with an additional first dimension for the number of layers,
here 1.

Write the shapes, each as a tuple. The shape of a vector is a tuple with one element: ``(n,)``.
"""

Shape = tuple[int, ...]


def shapes_of_a_layer(
    time: int, batch: int, input_size: int, hidden_size: int, gates: int
) -> tuple[Shape, ...]:
    """Return the shapes of x, w_ih, w_hh, bias, output and h_n, in this order."""
    # begin solution: write the six shapes; return x, w_ih, w_hh, bias, output, h_n
    x = (time, batch, input_size)  # x (T, B, I): time first
    w_ih = (gates * hidden_size, input_size)  # W_ih (G*H, I): it multiplies x_t
    w_hh = (gates * hidden_size, hidden_size)  # W_hh (G*H, H): it multiplies h_{t-1}
    bias = (gates * hidden_size,)  # b (G*H,): one value for each row of the matrix
    output = (time, batch, hidden_size)  # output (T, B, H): h_t of every time step
    h_n = (1, batch, hidden_size)  # h_n (1, B, H): the last state of the only layer
    return x, w_ih, w_hh, bias, output, h_n  # x, w_ih, w_hh, bias, output, h_n
    # end solution
