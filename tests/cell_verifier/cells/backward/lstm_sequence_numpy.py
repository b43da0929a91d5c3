import numpy as np

from tests.cell_verifier.cells.backward.lstm_step_numpy import (
    lstm_step_backward,
    lstm_step_forward,
)


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    prev_h, prev_c = h0, np.zeros_like(h0)
    h, caches = np.zeros((N, T, h0.shape[1])), []
    for t in range(T):
        prev_h, prev_c, cache = lstm_step_forward(x[:, t], prev_h, prev_c, Wx, Wh, b)
        h[:, t] = prev_h
        caches.append(cache)
    return h, (caches, x.shape)


def lstm_backward(dh, cache):
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx = np.zeros((N, T, D))
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    dWx, dWh, db = np.zeros((D, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    for t in reversed(range(T)):
        dnext_h = dh[:, t] + dprev_h
        step = lstm_step_backward(dnext_h, dprev_c, caches[t])
        dx[:, t], dprev_h, dprev_c, dWx_t, dWh_t, db_t = step
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    dh0 = dprev_h
    return dx, dh0, dWx, dWh, db


FORWARD, BACKWARD, AGAINST = lstm_forward, lstm_backward, "lstm"
