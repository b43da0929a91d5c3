"""The Triton kernels of ``fused``: all steps of one layer in one launch, forward and backward.

A program has ROWS sequences of the batch to itself and walks with them through time, so no program
waits for another. The state stays in its registers from step to step, in float32 whatever the
dtype. The equations are those of ``derivations``, with the same letters: x_r is gate r's
projection, w_r its rows of W_hh, dr the gradient of its preactivation.

The state meets W_hh in one of two ways. *On chip* (TILE = 0) each gate's (H, H) is loaded before
the first step and stays, and the state comes from the registers. *In tiles* of TILE units the state
is read from where the step before has written it, and W_hh from the nearest cache: for float32,
whose matrices are twice as large and whose exact products want the registers.

Letters: T time, B batch, H hidden_size. UNITS is H padded to a power of two. ``at`` are the places
of the program's (ROWS, UNITS) in one step of a buffer of (T, B, H); ``at_gate`` those of the first
gate in one step of (T, B, G*H), each further gate lying H further.
"""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Whether the kernels run in Triton's interpreter, on the CPU: TRITON_INTERPRET=1."""

kernel = triton.jit(do_not_specialize=["T", "B"])


# fmt: off
@kernel
def rnn_forward(
    gates, w_hh, h_before, h_after, T, B, H: tl.constexpr, RELU: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """h = tanh(x + W h), or with RELU max(0, x + W h); x stands in ``gates``."""
    row, inside, at = places(B, H, 1, ROWS, UNITS)
    w = matrix(w_hh, True, H, UNITS, TILE)
    h = load(h_before + moment(0, T, REVERSE) * B * H + at, inside)
    for step in range(T):
        t = moment(step, T, REVERSE)
        a = load(gates + t * B * H + at, inside)
        tl.debug_barrier()  # the step before is written, for all threads to read
        h_row = h_before + t * B * H + row * H
        a += product(h, h_row, w, row < B, True, H, UNITS, TILE, PRECISION)
        h = tl.where(a < 0, 0.0, a) if RELU else tanh(a)
        tl.store(h_after + t * B * H + at, h, inside)


# fmt: off
@kernel
def rnn_backward(
    d, w_hh, h_after, d_outputs, d_h, T, B, H: tl.constexpr, RELU: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """da = (1 - h²) ⊙ dh, with RELU dh where h > 0; dh = da W + d_output."""
    row, inside, at = places(B, H, 1, ROWS, UNITS)
    w = matrix(w_hh, False, H, UNITS, TILE)
    dh = load(d_h + at, inside)
    for step in range(T):
        t = moment(step, T, not REVERSE)
        h = load(h_after + t * B * H + at, inside)
        if d_outputs is not None:
            dh += load(d_outputs + t * B * H + at, inside)
        da = tl.where(h > 0, dh, 0.0) if RELU else (1 - h * h) * dh
        tl.store(d + t * B * H + at, da, inside)
        tl.debug_barrier()
        d_row = d + t * B * H + row * H
        dh = product(da, d_row, w, row < B, False, H, UNITS, TILE, PRECISION)
    tl.store(d_h + at, dh, inside)


# fmt: off
@kernel
def gru_forward(
    gates, w_hh, b_hn, h_before, h_after, extra, T, B, H: tl.constexpr, SAVE: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """m = W_hn h + b_hn, r = σ(x_r + W_hr h), z = σ(x_z + W_hz h), n = tanh(x_n + r ⊙ m);
    h = n + z ⊙ (h - n). The gates take the places of the x."""
    row, inside, at = places(B, H, 1, ROWS, UNITS)
    _, _, at_gate = places(B, H, 3, ROWS, UNITS)
    w_r = matrix(w_hh, True, H, UNITS, TILE)
    w_z = matrix(w_hh + H * H, True, H, UNITS, TILE)
    w_n = matrix(w_hh + 2 * H * H, True, H, UNITS, TILE)
    unit = tl.arange(0, UNITS)[None, :]
    b_n = load(b_hn + unit, unit < H)
    h = load(h_before + moment(0, T, REVERSE) * B * H + at, inside)
    for step in range(T):
        t = moment(step, T, REVERSE)
        x = gates + t * B * 3 * H + at_gate
        x_r = load(x, inside)
        x_z = load(x + H, inside)
        x_n = load(x + 2 * H, inside)
        tl.debug_barrier()  # all have read x, and the step before is written
        h_row = h_before + t * B * H + row * H
        m = b_n + product(h, h_row, w_n, row < B, True, H, UNITS, TILE, PRECISION)
        r = sigmoid(x_r + product(h, h_row, w_r, row < B, True, H, UNITS, TILE, PRECISION))
        z = sigmoid(x_z + product(h, h_row, w_z, row < B, True, H, UNITS, TILE, PRECISION))
        n = tanh(x_n + r * m)
        h = n + z * (h - n)
        if SAVE:
            tl.store(x, r, inside)
            tl.store(x + H, z, inside)
            tl.store(x + 2 * H, n, inside)
            tl.store(extra + t * B * H + at, m, inside)
        tl.store(h_after + t * B * H + at, h, inside)


# fmt: off
@kernel
def gru_backward(
    d, gates, w_hh, h_before, extra, d_outputs, d_h, T, B, H: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """dn = (1 - z) (1 - n²) ⊙ dh, dz = (h - n) z (1 - z) ⊙ dh, dm = dn ⊙ r, dr = dn ⊙ m r (1 - r);
    dh = z ⊙ dh + dm W_hn + dr W_hr + dz W_hz + d_output. In ``d`` they lie m, r, z, n."""
    row, inside, at = places(B, H, 1, ROWS, UNITS)
    _, _, at_gate = places(B, H, 3, ROWS, UNITS)
    _, _, at_d = places(B, H, 4, ROWS, UNITS)
    w_r = matrix(w_hh, False, H, UNITS, TILE)
    w_z = matrix(w_hh + H * H, False, H, UNITS, TILE)
    w_n = matrix(w_hh + 2 * H * H, False, H, UNITS, TILE)
    dh = load(d_h + at, inside)
    for step in range(T):
        t = moment(step, T, not REVERSE)
        gate = gates + t * B * 3 * H + at_gate
        r = load(gate, inside)
        z = load(gate + H, inside)
        n = load(gate + 2 * H, inside)
        m = load(extra + t * B * H + at, inside)
        h = load(h_before + t * B * H + at, inside)
        if d_outputs is not None:
            dh += load(d_outputs + t * B * H + at, inside)
        dn = (1 - z) * (1 - n * n) * dh
        dz = (h - n) * z * (1 - z) * dh
        dm = dn * r
        dr = dn * m * r * (1 - r)
        d_step = d + t * B * 4 * H
        tl.store(d_step + at_d, dm, inside)
        tl.store(d_step + at_d + H, dr, inside)
        tl.store(d_step + at_d + 2 * H, dz, inside)
        tl.store(d_step + at_d + 3 * H, dn, inside)
        tl.debug_barrier()
        d_row = d_step + row * 4 * H
        dh = z * dh
        dh += product(dm, d_row, w_n, row < B, False, H, UNITS, TILE, PRECISION)
        dh += product(dr, d_row + H, w_r, row < B, False, H, UNITS, TILE, PRECISION)
        dh += product(dz, d_row + 2 * H, w_z, row < B, False, H, UNITS, TILE, PRECISION)
    tl.store(d_h + at, dh, inside)


# fmt: off
@kernel
def lstm_forward(
    gates, w_hh, h_before, h_after, c_before, c_after, c_step_stride, T, B, H: tl.constexpr,
    SAVE: tl.constexpr, REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
    TILE: tl.constexpr, PRECISION: tl.constexpr,
):
    # fmt: on
    """i, f, o = σ(x + W h), g = tanh(x_g + W_hg h); c = f ⊙ c + i ⊙ g, h = o ⊙ tanh(c).
    The gates take the places of the x; the steps of c lie ``c_step_stride`` apart."""
    row, inside, at = places(B, H, 1, ROWS, UNITS)
    _, _, at_gate = places(B, H, 4, ROWS, UNITS)
    w_i = matrix(w_hh, True, H, UNITS, TILE)
    w_f = matrix(w_hh + H * H, True, H, UNITS, TILE)
    w_g = matrix(w_hh + 2 * H * H, True, H, UNITS, TILE)
    w_o = matrix(w_hh + 3 * H * H, True, H, UNITS, TILE)
    h = load(h_before + moment(0, T, REVERSE) * B * H + at, inside)
    c = load(c_before + moment(0, T, REVERSE) * c_step_stride + at, inside)
    for step in range(T):
        t = moment(step, T, REVERSE)
        x = gates + t * B * 4 * H + at_gate
        x_i = load(x, inside)
        x_f = load(x + H, inside)
        x_g = load(x + 2 * H, inside)
        x_o = load(x + 3 * H, inside)
        tl.debug_barrier()  # all have read x, and the step before is written
        h_row = h_before + t * B * H + row * H
        i = sigmoid(x_i + product(h, h_row, w_i, row < B, True, H, UNITS, TILE, PRECISION))
        f = sigmoid(x_f + product(h, h_row, w_f, row < B, True, H, UNITS, TILE, PRECISION))
        g = tanh(x_g + product(h, h_row, w_g, row < B, True, H, UNITS, TILE, PRECISION))
        o = sigmoid(x_o + product(h, h_row, w_o, row < B, True, H, UNITS, TILE, PRECISION))
        c = f * c + i * g
        h = o * tanh(c)
        if SAVE:
            tl.store(x, i, inside)
            tl.store(x + H, f, inside)
            tl.store(x + 2 * H, g, inside)
            tl.store(x + 3 * H, o, inside)
        tl.store(c_after + t * c_step_stride + at, c, inside)
        tl.store(h_after + t * B * H + at, h, inside)


# fmt: off
@kernel
def lstm_backward(
    d, gates, w_hh, c_before, d_outputs, d_h, d_c, T, B, H: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """dc += o (1 - tanh²(c)) ⊙ dh; di = g i (1 - i) ⊙ dc, df = c f (1 - f) ⊙ dc,
    dg = i (1 - g²) ⊙ dc, do = tanh(c) o (1 - o) ⊙ dh; dc = f ⊙ dc,
    dh = di W_hi + df W_hf + dg W_hg + do W_ho + d_output."""
    row, inside, at = places(B, H, 1, ROWS, UNITS)
    _, _, at_gate = places(B, H, 4, ROWS, UNITS)
    w_i = matrix(w_hh, False, H, UNITS, TILE)
    w_f = matrix(w_hh + H * H, False, H, UNITS, TILE)
    w_g = matrix(w_hh + 2 * H * H, False, H, UNITS, TILE)
    w_o = matrix(w_hh + 3 * H * H, False, H, UNITS, TILE)
    dh = load(d_h + at, inside)
    dc = load(d_c + at, inside)
    for step in range(T):
        t = moment(step, T, not REVERSE)
        gate = gates + t * B * 4 * H + at_gate
        i = load(gate, inside)
        f = load(gate + H, inside)
        g = load(gate + 2 * H, inside)
        o = load(gate + 3 * H, inside)
        c = load(c_before + t * B * H + at, inside)
        if d_outputs is not None:
            dh += load(d_outputs + t * B * H + at, inside)
        tanh_c = tanh(f * c + i * g)  # of the step's new c, cheaper to compute than to keep
        dc += o * (1 - tanh_c * tanh_c) * dh
        di = g * i * (1 - i) * dc
        df = c * f * (1 - f) * dc
        dg = i * (1 - g * g) * dc
        do = tanh_c * o * (1 - o) * dh
        dc = f * dc
        d_step = d + t * B * 4 * H
        tl.store(d_step + at_gate, di, inside)
        tl.store(d_step + at_gate + H, df, inside)
        tl.store(d_step + at_gate + 2 * H, dg, inside)
        tl.store(d_step + at_gate + 3 * H, do, inside)
        tl.debug_barrier()
        d_row = d_step + row * 4 * H
        dh = product(di, d_row, w_i, row < B, False, H, UNITS, TILE, PRECISION)
        dh += product(df, d_row + H, w_f, row < B, False, H, UNITS, TILE, PRECISION)
        dh += product(dg, d_row + 2 * H, w_g, row < B, False, H, UNITS, TILE, PRECISION)
        dh += product(do, d_row + 3 * H, w_o, row < B, False, H, UNITS, TILE, PRECISION)
    tl.store(d_h + at, dh, inside)
    tl.store(d_c + at, dc, inside)


@triton.jit
def places(B, H: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr):
    """The program's rows (ROWS, 1); which of its (ROWS, UNITS) are there; where in (B, G*H)."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, UNITS)[None, :]
    return row, (row < B) & (unit < H), row * G * H + unit


@triton.jit
def moment(step, T, REVERSE: tl.constexpr):
    """Where in the sequence a step of the walk is; in 64 bits, for buffers that long."""
    return tl.cast(T - 1 - step if REVERSE else step, tl.int64)


@triton.jit
def load(place, inside):
    """What lies there, in float32; zero outside."""
    return tl.load(place, inside, 0).to(tl.float32)


@triton.jit
def matrix(w, TRANSPOSED: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr):
    """A gate's W or Wᵀ, (UNITS, UNITS), to stay on chip; in tiles only where it lies."""
    if TILE:
        return w
    else:
        k, unit = tl.arange(0, UNITS)[:, None], tl.arange(0, UNITS)[None, :]
        return tl.load(w + (unit * H + k if TRANSPOSED else k * H + unit), (k < H) & (unit < H), 0)


# fmt: off
@triton.jit
def product(
    v, v_row, w, real, TRANSPOSED: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr,
    TILE: tl.constexpr, PRECISION: tl.constexpr,
):
    # fmt: on
    """v W or v Wᵀ in float32, (ROWS, UNITS); v also lies in memory, its rows at ``v_row``."""
    if TILE:
        unit = tl.arange(0, UNITS)[None, :]
        total = tl.full((v_row.shape[0], UNITS), 0, tl.float32)
        for start in range(0, H, TILE):
            k = start + tl.arange(0, TILE)[None, :]
            some_v = tl.load(v_row + k, real & (k < H), 0)  # (ROWS, TILE)
            k = start + tl.arange(0, TILE)[:, None]
            place = w + (unit * H + k if TRANSPOSED else k * H + unit)
            some_w = tl.load(place, (k < H) & (unit < H), 0)  # (TILE, UNITS)
            total += dot(some_v, some_w, PRECISION)
        return total
    else:
        return dot(v.to(w.dtype), w, PRECISION)


@triton.jit
def dot(a, b, PRECISION: tl.constexpr):
    if INTERPRETED:  # whose matrix product knows no bfloat16; the same numbers in float32
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def sigmoid(a):
    return 1 / (1 + tl.exp(-a))


@triton.jit
def tanh(a):
    """To float32's rounding: a continued fraction near zero, where 1 - exp would cancel."""
    small = tl.abs(a) < 0.5
    b = tl.where(small, a, 0.0)
    b2 = b * b
    near = b * (945 + b2 * (105 + b2)) / (945 + b2 * (420 + b2 * 15))
    e = tl.exp(-2 * tl.abs(a))
    far = (1 - e) / (1 + e)
    return tl.where(small, near, tl.where(a < 0, -far, far))
