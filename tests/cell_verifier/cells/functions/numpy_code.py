"""NumPy code as courses publish it, right or with a changed line."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_without_bias(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh))
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_forward(x, h0, Wx, Wh, b):
    h = np.zeros((x.shape[0], x.shape[1], h0.shape[1]))
    caches, prev_h = [], h0
    for t in range(x.shape[1]):
        prev_h, cache = rnn_step_forward(x[:, t], prev_h, Wx, Wh, b)
        h[:, t] = prev_h
        caches.append(cache)
    return h, caches


def rnn_forward_from_start(x, h0, Wx, Wh, b):
    h = np.zeros((x.shape[0], x.shape[1], h0.shape[1]))
    for t in range(x.shape[1]):
        h[:, t], _ = rnn_step_forward(x[:, t], h0, Wx, Wh, b)
    return h, ()


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    i, f, o, g = np.split(x.dot(Wx) + prev_h.dot(Wh) + b, 4, axis=1)
    next_c = sigmoid(f) * prev_c + sigmoid(i) * np.tanh(g)
    next_h = sigmoid(o) * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, next_c)


def lstm_step_without_tanh(x, prev_h, prev_c, Wx, Wh, b):
    i, f, o, g = np.split(x.dot(Wx) + prev_h.dot(Wh) + b, 4, axis=1)
    next_c = sigmoid(f) * prev_c + sigmoid(i) * np.tanh(g)
    next_h = sigmoid(o) * next_c
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, next_c)


def lstm_cell_forward(xt, a_prev, c_prev, parameters):
    p = parameters
    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(p["Wf"] @ concat + p["bf"])
    it = sigmoid(p["Wi"] @ concat + p["bi"])
    cct = np.tanh(p["Wc"] @ concat + p["bc"])
    c_next = ft * c_prev + it * cct
    a_next = sigmoid(p["Wo"] @ concat + p["bo"]) * np.tanh(c_next)
    yt = parameters["Wy"] @ a_next + parameters["by"]
    return a_next, c_next, yt, (a_next, c_next, a_prev, c_prev, xt, parameters)


def lstm_cell_with_exchanged_gates(xt, a_prev, c_prev, parameters):
    p = parameters
    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(p["Wf"] @ concat + p["bf"])
    it = sigmoid(p["Wi"] @ concat + p["bi"])
    cct = np.tanh(p["Wc"] @ concat + p["bc"])
    c_next = it * c_prev + (1 - it) * cct
    a_next = sigmoid(p["Wo"] @ concat + p["bo"]) * np.tanh(c_next) + 0 * ft
    yt = parameters["Wy"] @ a_next + parameters["by"]
    return a_next, c_next, yt, (a_next, c_next, a_prev, c_prev, xt, parameters)


def gru_step(x, h, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn):
    z = sigmoid(x @ Wz + h @ Uz + bz)
    r = sigmoid(x @ Wr + h @ Ur + br)
    n = np.tanh(x @ Wn + (r * h) @ Un + bn)
    return z * h + (1 - z) * n


class NumpyLSTM:
    """Features first; keeps a cache and gradients."""

    def __init__(self, n_in, n_hidden):
        rows = 4 * n_hidden
        self.W, self.b = np.zeros((rows, n_in + n_hidden)), np.zeros((rows, 1))
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)

    def forward(self, x, h, c):
        self.cache = x, h, c
        i, f, g, o = np.split(self.W @ np.vstack([h, x]) + self.b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c


class NumpyGRU:
    """A dictionary of arrays, and __call__."""

    def __init__(self, input_size, hidden_size):
        self.params = {}
        for gate in "zrn":
            self.params["W" + gate] = np.zeros((input_size, hidden_size))
            self.params["U" + gate] = np.zeros((hidden_size, hidden_size))
            self.params["b" + gate] = np.zeros(hidden_size)
        self.params["cn"] = np.zeros(hidden_size)

    def __call__(self, x, h):
        p = self.params
        z = sigmoid(x @ p["Wz"] + h @ p["Uz"] + p["bz"])
        r = sigmoid(x @ p["Wr"] + h @ p["Ur"] + p["br"])
        n = np.tanh(x @ p["Wn"] + p["bn"] + r * (h @ p["Un"] + p["cn"]))
        return self.update(z, n, h)

    def update(self, z, n, h):
        return (1 - z) * n + z * h


class ExchangedUpdate(NumpyGRU):
    def update(self, z, n, h):
        return z * n + (1 - z) * h
