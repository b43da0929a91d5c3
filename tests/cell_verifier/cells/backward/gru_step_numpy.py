import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_forward(x, h_prev, W_xr, W_hr, b_r, W_xz, W_hz, b_z, W_xn, W_hn, b_n):
    r = sigmoid(x @ W_xr + h_prev @ W_hr + b_r)
    z = sigmoid(x @ W_xz + h_prev @ W_hz + b_z)
    n = np.tanh(x @ W_xn + (r * h_prev) @ W_hn + b_n)
    h = (1 - z) * h_prev + z * n
    return h, (x, h_prev, W_xr, W_hr, W_xz, W_hz, W_xn, W_hn, r, z, n, h)


def gru_backward(dh, cache):
    x, h_prev, W_xr, W_hr, W_xz, W_hz, W_xn, W_hn, r, z, n, h = cache
    dn = dh * z
    dz = dh * (n - h_prev)
    dh_prev = dh * (1 - z)
    da_n = dn * (1 - n ** 2)
    drh = da_n @ W_hn.T
    dr = drh * h_prev
    dh_prev = dh_prev + drh * r
    da_r = dr * r * (1 - r)
    da_z = dz * z * (1 - z)
    dh_prev = dh_prev + da_r @ W_hr.T + da_z @ W_hz.T
    dx = da_r @ W_xr.T + da_z @ W_xz.T + da_n @ W_xn.T
    return {
        "dx": dx,
        "dh_prev": dh_prev,
        "dW_xr": x.T @ da_r,
        "dW_hr": h_prev.T @ da_r,
        "db_r": da_r.sum(0),
        "dW_xz": x.T @ da_z,
        "dW_hz": h_prev.T @ da_z,
        "db_z": da_z.sum(0),
        "dW_xn": x.T @ da_n,
        "dW_hn": (r * h_prev).T @ da_n,
        "db_n": da_n.sum(0),
    }


FORWARD, BACKWARD, AGAINST = gru_forward, gru_backward, "gru"
