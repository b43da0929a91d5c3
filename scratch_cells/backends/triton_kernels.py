"""The kernels of ``triton_backend``: all time steps of a layer in one launch.

A program computes all time steps for ROWS rows of the batch, so no program waits for another. The
state stays in its registers from step to step, in float32 for every dtype. The equations and
letters are those of ``torch_backend``: x_r is gate r's projected input, w_r its rows of W_hh, dr
the gradient of its pre-activation.

The recurrent product h @ W_hh.T is computed in one of two ways. *On chip* (TILE = 0), each gate's
(H, H) matrix is loaded before the first step and stays, and h comes from the registers. *In tiles*
of TILE units, h is read from where the previous step stored it, and W_hh from the nearest cache:
for float32, whose matrices are twice as large and whose exact products need the registers.

Letters: T time, B batch, H hidden_size. UNITS is H padded to a power of two. ``h_all`` and
``c_all`` are the states before and after every step, (T+1, B, H). ``at`` is the address of the
program's first row in one step of a buffer; ``offsets`` are those of its (ROWS, UNITS) elements
from there in a buffer (T, B, H), ``gate_offsets`` those of the first gate in (T, B, G*H); each
further gate is H elements further. ``mask`` is true for rows and units that exist.

A kernel is compiled for each H and dtype, and not again for another T or B: they are not
specialized, and every buffer is passed by its beginning, whose alignment does not depend on them.
"""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Whether the kernels run in Triton's interpreter, on the CPU: TRITON_INTERPRET=1."""

kernel = triton.jit(do_not_specialize=["T", "B"])


# fmt: off
@kernel
def rnn_forward(
    h_all, w_hh, T, B, H: tl.constexpr, RELU: tl.constexpr, REVERSE: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):
    # fmt: on
    """h = tanh(x + W h); with RELU, max(0, x + W h). h replaces x in ``h_all``."""
    first, row, row_mask, mask, offsets = elements(B, H, 1, ROWS, UNITS)
    w = load_matrix(w_hh, True, H, UNITS, TILE)
    h = load(at(h_all, position(0, T, REVERSE) + REVERSE, first, B, H) + offsets, mask)
    for step in range(T):
        t = position(step, T, REVERSE)
        h_before = at(h_all, t + REVERSE, first, B, H)
        h_after = at(h_all, t + 1 - REVERSE, first, B, H)
        a = load(h_after + offsets, mask)
        tl.debug_barrier()  # every thread sees what the previous step stored
        a += product(h, h_before + row * H, w, row_mask, True, H, UNITS, TILE, PRECISION)
        h = tl.where(a < 0, 0.0, a) if RELU else tanh(a)
        tl.store(h_after + offsets, h, mask)


# fmt: off
@kernel
def rnn_backward(
    d, w_hh, h_all, d_outputs, d_h, T, B, H: tl.constexpr, RELU: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """da = (1 - h²) ⊙ dh; with RELU, dh where h > 0, else 0. dh = da W + d_output."""
    first, row, row_mask, mask, offsets = elements(B, H, 1, ROWS, UNITS)
    w = load_matrix(w_hh, False, H, UNITS, TILE)
    dh = load(at(d_h, 0, first, B, H) + offsets, mask)
    for step in range(T):
        t = position(step, T, not REVERSE)
        h = load(at(h_all, t + 1 - REVERSE, first, B, H) + offsets, mask)
        if d_outputs is not None:
            dh += load(at(d_outputs, t, first, B, H) + offsets, mask)
        da = tl.where(h > 0, dh, 0.0) if RELU else (1 - h * h) * dh
        d_step = at(d, t, first, B, H)
        tl.store(d_step + offsets, da, mask)
        tl.debug_barrier()
        dh = product(da, d_step + row * H, w, row_mask, False, H, UNITS, TILE, PRECISION)
    tl.store(at(d_h, 0, first, B, H) + offsets, dh, mask)


# fmt: off
@kernel
def gru_forward(
    gates, w_hh, b_hn, h_all, extra, T, B, H: tl.constexpr, SAVE: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """m = W_hn h + b_hn, r = σ(x_r + W_hr h), z = σ(x_z + W_hz h), n = tanh(x_n + r ⊙ m);
    h = n + z ⊙ (h - n). The gates replace x in ``gates``; ``extra`` holds m."""
    first, row, row_mask, mask, offsets = elements(B, H, 1, ROWS, UNITS)
    _, _, _, _, gate_offsets = elements(B, H, 3, ROWS, UNITS)
    w_r = load_matrix(w_hh, True, H, UNITS, TILE)
    w_z = load_matrix(w_hh + H * H, True, H, UNITS, TILE)
    w_n = load_matrix(w_hh + 2 * H * H, True, H, UNITS, TILE)
    unit = tl.arange(0, UNITS)[None, :]
    b_n = load(b_hn + unit, unit < H)
    h = load(at(h_all, position(0, T, REVERSE) + REVERSE, first, B, H) + offsets, mask)
    for step in range(T):
        t = position(step, T, REVERSE)
        x = at(gates, t, first, B, 3 * H) + gate_offsets
        x_r = load(x, mask)
        x_z = load(x + H, mask)
        x_n = load(x + 2 * H, mask)
        tl.debug_barrier()  # every thread has read x, and sees what the previous step stored
        h_row = at(h_all, t + REVERSE, first, B, H) + row * H
        m = b_n + product(h, h_row, w_n, row_mask, True, H, UNITS, TILE, PRECISION)
        r = sigmoid(x_r + product(h, h_row, w_r, row_mask, True, H, UNITS, TILE, PRECISION))
        z = sigmoid(x_z + product(h, h_row, w_z, row_mask, True, H, UNITS, TILE, PRECISION))
        n = tanh(x_n + r * m)
        h = n + z * (h - n)
        if SAVE:
            tl.store(x, r, mask)
            tl.store(x + H, z, mask)
            tl.store(x + 2 * H, n, mask)
            tl.store(at(extra, t, first, B, H) + offsets, m, mask)
        tl.store(at(h_all, t + 1 - REVERSE, first, B, H) + offsets, h, mask)


# fmt: off
@kernel
def gru_backward(
    d, gates, w_hh, h_all, extra, d_outputs, d_h, T, B, H: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """dn = (1 - z) (1 - n²) ⊙ dh, dz = (h - n) z (1 - z) ⊙ dh, dm = dn ⊙ r, dr = dn ⊙ m r (1 - r);
    dh = z ⊙ dh + dm W_hn + dr W_hr + dz W_hz + d_output. ``d`` holds dm, dr, dz, dn."""
    first, row, row_mask, mask, offsets = elements(B, H, 1, ROWS, UNITS)
    _, _, _, _, gate_offsets = elements(B, H, 3, ROWS, UNITS)
    _, _, _, _, d_offsets = elements(B, H, 4, ROWS, UNITS)
    w_r = load_matrix(w_hh, False, H, UNITS, TILE)
    w_z = load_matrix(w_hh + H * H, False, H, UNITS, TILE)
    w_n = load_matrix(w_hh + 2 * H * H, False, H, UNITS, TILE)
    dh = load(at(d_h, 0, first, B, H) + offsets, mask)
    for step in range(T):
        t = position(step, T, not REVERSE)
        gate = at(gates, t, first, B, 3 * H) + gate_offsets
        r = load(gate, mask)
        z = load(gate + H, mask)
        n = load(gate + 2 * H, mask)
        m = load(at(extra, t, first, B, H) + offsets, mask)
        h = load(at(h_all, t + REVERSE, first, B, H) + offsets, mask)
        if d_outputs is not None:
            dh += load(at(d_outputs, t, first, B, H) + offsets, mask)
        dn = (1 - z) * (1 - n * n) * dh
        dz = (h - n) * z * (1 - z) * dh
        dm = dn * r
        dr = dn * m * r * (1 - r)
        d_step = at(d, t, first, B, 4 * H)
        tl.store(d_step + d_offsets, dm, mask)
        tl.store(d_step + d_offsets + H, dr, mask)
        tl.store(d_step + d_offsets + 2 * H, dz, mask)
        tl.store(d_step + d_offsets + 3 * H, dn, mask)
        tl.debug_barrier()
        d_row = d_step + row * 4 * H
        dh = z * dh
        dh += product(dm, d_row, w_n, row_mask, False, H, UNITS, TILE, PRECISION)
        dh += product(dr, d_row + H, w_r, row_mask, False, H, UNITS, TILE, PRECISION)
        dh += product(dz, d_row + 2 * H, w_z, row_mask, False, H, UNITS, TILE, PRECISION)
    tl.store(at(d_h, 0, first, B, H) + offsets, dh, mask)


# fmt: off
@kernel
def lstm_forward(
    gates, w_hh, h_all, c_all, T, B, H: tl.constexpr, SAVE: tl.constexpr, REVERSE: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):
    # fmt: on
    """i, f, o = σ(x + W h), g = tanh(x_g + W_hg h); c = f ⊙ c + i ⊙ g, h = o ⊙ tanh(c).
    The gates replace x in ``gates``. Unless SAVE, ``c_all`` holds one state, the latest."""
    first, row, row_mask, mask, offsets = elements(B, H, 1, ROWS, UNITS)
    _, _, _, _, gate_offsets = elements(B, H, 4, ROWS, UNITS)
    w_i = load_matrix(w_hh, True, H, UNITS, TILE)
    w_f = load_matrix(w_hh + H * H, True, H, UNITS, TILE)
    w_g = load_matrix(w_hh + 2 * H * H, True, H, UNITS, TILE)
    w_o = load_matrix(w_hh + 3 * H * H, True, H, UNITS, TILE)
    start = position(0, T, REVERSE) + REVERSE
    h = load(at(h_all, start, first, B, H) + offsets, mask)
    c = load(at(c_all, start if SAVE else 0, first, B, H) + offsets, mask)
    for step in range(T):
        t = position(step, T, REVERSE)
        x = at(gates, t, first, B, 4 * H) + gate_offsets
        x_i = load(x, mask)
        x_f = load(x + H, mask)
        x_g = load(x + 2 * H, mask)
        x_o = load(x + 3 * H, mask)
        tl.debug_barrier()  # every thread has read x, and sees what the previous step stored
        h_row = at(h_all, t + REVERSE, first, B, H) + row * H
        i = sigmoid(x_i + product(h, h_row, w_i, row_mask, True, H, UNITS, TILE, PRECISION))
        f = sigmoid(x_f + product(h, h_row, w_f, row_mask, True, H, UNITS, TILE, PRECISION))
        g = tanh(x_g + product(h, h_row, w_g, row_mask, True, H, UNITS, TILE, PRECISION))
        o = sigmoid(x_o + product(h, h_row, w_o, row_mask, True, H, UNITS, TILE, PRECISION))
        c = f * c + i * g
        h = o * tanh(c)
        if SAVE:
            tl.store(x, i, mask)
            tl.store(x + H, f, mask)
            tl.store(x + 2 * H, g, mask)
            tl.store(x + 3 * H, o, mask)
        after = t + 1 - REVERSE
        tl.store(at(c_all, after if SAVE else 0, first, B, H) + offsets, c, mask)
        tl.store(at(h_all, after, first, B, H) + offsets, h, mask)


# fmt: off
@kernel
def lstm_backward(
    d, gates, w_hh, c_all, d_outputs, d_h, d_c, T, B, H: tl.constexpr,
    REVERSE: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # fmt: on
    """dc += o (1 - tanh²(c)) ⊙ dh; di = g i (1 - i) ⊙ dc, df = c f (1 - f) ⊙ dc,
    dg = i (1 - g²) ⊙ dc, do = tanh(c) o (1 - o) ⊙ dh; dc = f ⊙ dc,
    dh = di W_hi + df W_hf + dg W_hg + do W_ho + d_output."""
    first, row, row_mask, mask, offsets = elements(B, H, 1, ROWS, UNITS)
    _, _, _, _, gate_offsets = elements(B, H, 4, ROWS, UNITS)
    w_i = load_matrix(w_hh, False, H, UNITS, TILE)
    w_f = load_matrix(w_hh + H * H, False, H, UNITS, TILE)
    w_g = load_matrix(w_hh + 2 * H * H, False, H, UNITS, TILE)
    w_o = load_matrix(w_hh + 3 * H * H, False, H, UNITS, TILE)
    dh = load(at(d_h, 0, first, B, H) + offsets, mask)
    dc = load(at(d_c, 0, first, B, H) + offsets, mask)
    for step in range(T):
        t = position(step, T, not REVERSE)
        gate = at(gates, t, first, B, 4 * H) + gate_offsets
        i = load(gate, mask)
        f = load(gate + H, mask)
        g = load(gate + 2 * H, mask)
        o = load(gate + 3 * H, mask)
        c = load(at(c_all, t + REVERSE, first, B, H) + offsets, mask)
        if d_outputs is not None:
            dh += load(at(d_outputs, t, first, B, H) + offsets, mask)
        tanh_c = tanh(f * c + i * g)  # of the new c: computing it again is faster than loading it
        dc += o * (1 - tanh_c * tanh_c) * dh
        di = g * i * (1 - i) * dc
        df = c * f * (1 - f) * dc
        dg = i * (1 - g * g) * dc
        do = tanh_c * o * (1 - o) * dh
        dc = f * dc
        d_step = at(d, t, first, B, 4 * H)
        tl.store(d_step + gate_offsets, di, mask)
        tl.store(d_step + gate_offsets + H, df, mask)
        tl.store(d_step + gate_offsets + 2 * H, dg, mask)
        tl.store(d_step + gate_offsets + 3 * H, do, mask)
        tl.debug_barrier()
        d_row = d_step + row * 4 * H
        dh = product(di, d_row, w_i, row_mask, False, H, UNITS, TILE, PRECISION)
        dh += product(df, d_row + H, w_f, row_mask, False, H, UNITS, TILE, PRECISION)
        dh += product(dg, d_row + 2 * H, w_g, row_mask, False, H, UNITS, TILE, PRECISION)
        dh += product(do, d_row + 3 * H, w_o, row_mask, False, H, UNITS, TILE, PRECISION)
    tl.store(at(d_h, 0, first, B, H) + offsets, dh, mask)
    tl.store(at(d_c, 0, first, B, H) + offsets, dc, mask)


@triton.jit
def elements(B, H: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr):
    """The program's first row, 64 bits; its rows from there and which exist, (ROWS, 1); the mask
    and the offsets of its elements in a step of (B, G*H), (ROWS, UNITS)."""
    first = tl.cast(tl.program_id(0), tl.int64) * ROWS
    row = tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, UNITS)[None, :]
    row_mask = row < B - first
    return first, row, row_mask, row_mask & (unit < H), row * G * H + unit


@triton.jit
def position(step, T, REVERSE: tl.constexpr):
    """The position in the sequence of a step of the loop, 64 bits, as offsets may need them."""
    return tl.cast(T - 1 - step if REVERSE else step, tl.int64)


@triton.jit
def at(buffer, t, first, B, WIDTH: tl.constexpr):
    """The address of the program's first row in step ``t`` of a buffer (T, B, WIDTH)."""
    return buffer + (t * B + first) * WIDTH


@triton.jit
def load(pointers, mask):
    """The elements in float32; zero outside of the mask."""
    return tl.load(pointers, mask, 0).to(tl.float32)


@triton.jit
def load_matrix(
    w, TRANSPOSED: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr, TILE: tl.constexpr
):
    """A gate's W or Wᵀ, (UNITS, UNITS), to stay on chip; in tiles, only its address."""
    if TILE:
        return w
    else:
        k, unit = tl.arange(0, UNITS)[:, None], tl.arange(0, UNITS)[None, :]
        return tl.load(w + (unit * H + k if TRANSPOSED else k * H + unit), (k < H) & (unit < H), 0)


# fmt: off
@triton.jit
def product(
    v, v_row, w, row_mask, TRANSPOSED: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr,
    TILE: tl.constexpr, PRECISION: tl.constexpr,
):
    # fmt: on
    """v W or v Wᵀ in float32, (ROWS, UNITS). v is also in memory, its rows at ``v_row``."""
    if TILE:
        unit = tl.arange(0, UNITS)[None, :]
        total = tl.full((v_row.shape[0], UNITS), 0, tl.float32)
        for start in range(0, H, TILE):
            k = start + tl.arange(0, TILE)[None, :]
            v_tile = tl.load(v_row + k, row_mask & (k < H), 0)  # (ROWS, TILE)
            k = start + tl.arange(0, TILE)[:, None]
            pointers = w + (unit * H + k if TRANSPOSED else k * H + unit)
            w_tile = tl.load(pointers, (k < H) & (unit < H), 0)  # (TILE, UNITS)
            total += dot(v_tile, w_tile, PRECISION)
        return total
    else:
        return dot(v.to(w.dtype), w, PRECISION)


@triton.jit
def dot(a, b, PRECISION: tl.constexpr):
    if INTERPRETED:  # the interpreter's product lacks bfloat16; float32 holds the same values
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def sigmoid(a):
    return 1 / (1 + tl.exp(-a))


@triton.jit
def tanh(a):
    """Accurate to float32 rounding; a continued fraction near zero, where 1 - exp cancels."""
    small = tl.abs(a) < 0.5
    b = tl.where(small, a, 0.0)
    b2 = b * b
    near = b * (945 + b2 * (105 + b2)) / (945 + b2 * (420 + b2 * 15))
    e = tl.exp(-2 * tl.abs(a))
    far = (1 - e) / (1 + e)
    return tl.where(small, near, tl.where(a < 0, -far, far))
