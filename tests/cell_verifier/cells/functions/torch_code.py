"""Plain functions of tensors, right or wrong, with their parameters in any form."""

import torch


def gru_step_of_dictionary(x, h, params):
    r = torch.sigmoid(x @ params["W_xr"] + h @ params["W_hr"] + params["b_r"])
    z = torch.sigmoid(x @ params["W_xz"] + h @ params["W_hz"] + params["b_z"])
    n = torch.tanh(x @ params["W_xh"] + r * (h @ params["W_hh"]) + params["b_h"])
    return z * h + (1 - z) * n


def rnn_layer_of_list(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)
        outputs.append(torch.mm(H, W_hq) + b_q)
    return torch.cat(outputs, dim=0), (H,)


def lstm_step_of_attributes(x, state, params):
    h, c = state
    i, f, g, o = (x @ params.w_ih.T + h @ params.w_hh.T + params.bias).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return h, (h, c)


def lstm_step_with_wrong_cell(x, state, params):
    h, c = state
    i, f, g, o = (x @ params.w_ih.T + h @ params.w_hh.T + params.bias).chunk(4, 1)
    new = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return h, (h, new)


def rnn_step_of_keywords(x, h, *, weight_ih, weight_hh, bias):
    return torch.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)


def detached(x, h, W, U, b):
    return torch.tanh(x @ W + h.detach() @ U + b)


def unusual_names(x, h, alpha, beta, gamma, delta, epsilon):
    return torch.tanh(x @ alpha + h @ beta + gamma + delta) + 0 * epsilon


def closure(input_size, hidden_size):
    W, U = torch.zeros(input_size, hidden_size), torch.zeros(hidden_size, hidden_size)

    def step(x, h):
        return torch.tanh(x @ W + h @ U)

    return step
