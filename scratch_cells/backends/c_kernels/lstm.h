/* The LSTM. */

#pragma once

#include "activations.h"
#include "passes.h"

/* Pointer to row r of the tile in u, (B, H). */
INLINE stored *u_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return args->u + (tile.row + r) * args->H + tile.unit;
}

/* Pointer to row r of the tile in c_before. */
INLINE real *c_before_ptr(const SequenceArgs *args, Tile tile, int r)
{
    int64_t row = args->needs_backward ? row_before(args, tile.t) : 0;
    return row_ptr(args->c_before, args, tile, r) + row * args->H;
}

/* Pointer to row r of the tile in c_after. */
INLINE real *c_after_ptr(const SequenceArgs *args, Tile tile, int r)
{
    int64_t row = args->needs_backward ? row_after(args, tile.t) : 0;
    return row_ptr(args->c_after, args, tile, r) + row * args->H;
}

/* i, f, o = σ(W_ih x + W_hh h + b), g = tanh(W_ih x + W_hh h + b), each with its own rows of the
 * weights; c = f ⊙ c + i ⊙ g, u = o ⊙ tanh(c). With a projection u is stored in u, else it is h.
 *
 * tanh(c) depends on all gates of its row. In a loop of its own, it does not delay the next row. */
INLINE void lstm_forward_cell(const SequenceArgs *args, Tile tile, int rows, const int projected)
{
    int64_t H = args->H, n = tile.n, needs_backward = args->needs_backward;
    Sums a;
    load_projection(args, tile, rows, 4, a);
    multiply_h(args, tile, rows, 4, a);

    vector c[MAX_ROWS], o[MAX_ROWS];
    const real *c_before = c_before_ptr(args, tile, 0);
    real *c_after = c_after_ptr(args, tile, 0), *gates = element_ptr(args->gates, args, tile, 0, 4);
    for (int r = 0; r < rows; r++, gates += 4 * H) {
        vector i = sigmoid(a[r][0]);
        vector f = sigmoid(a[r][1]);
        vector g = tanh_of(a[r][2]);
        o[r] = sigmoid(a[r][3]);
        c[r] = f * load(c_before + r * H, n) + i * g;
        store(c_after + r * H, n, c[r]);
        if (needs_backward) {
            store(gates, n, i);
            store(gates + H, n, f);
            store(gates + 2 * H, n, g);
            store(gates + 3 * H, n, o[r]);
        }
    }
    real *extra = element_ptr(args->extra, args, tile, 0, 1);
    for (int r = 0; r < rows; r++) {
        vector tanh_c = tanh_of(c[r]);
        if (projected)
            store_factors(u_ptr(args, tile, r), n, o[r] * tanh_c);
        else
            store_h(args, tile, r, 0, o[r] * tanh_c);
        if (needs_backward)
            store(extra + r * H, n, tanh_c);
    }
}

INLINE void lstm_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    lstm_forward_cell(args, tile, rows, 0);
}

/* di, df, dg, do, and dc_{t-1} from du. */
INLINE void lstm_backward_cell(const SequenceArgs *args, Tile tile, vector du)
{
    int64_t H = args->H;
    const real *gates = element_ptr(args->gates, args, tile, 0, 4);
    stored *d = d_ptr(args, tile);
    vector i = load(gates, tile.n);
    vector f = load(gates + H, tile.n);
    vector g = load(gates + 2 * H, tile.n);
    vector o = load(gates + 3 * H, tile.n);
    vector tanh_c = load(element_ptr(args->extra, args, tile, 0, 1), tile.n);
    vector c_before = load(c_before_ptr(args, tile, 0), tile.n);
    vector dc = load(row_ptr(args->dc, args, tile, 0), tile.n);
    dc += o * (1 - tanh_c * tanh_c) * du;
    store_factors(d, tile.n, g * i * (1 - i) * dc);
    store_factors(d + H, tile.n, c_before * f * (1 - f) * dc);
    store_factors(d + 2 * H, tile.n, i * (1 - g * g) * dc);
    store_factors(d + 3 * H, tile.n, tanh_c * o * (1 - o) * du);
    store(row_ptr(args->dc, args, tile, 0), tile.n, f * dc);
}

INLINE void lstm_backward_row(const SequenceArgs *args, Tile tile)
{
    lstm_backward_cell(args, tile, load_dh(args, tile));
    store(dh_ptr(args, tile, 0), tile.n, broadcast(0));
}

void lstm_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(lstm_forward_tile, args, share, LANES))
}

void lstm_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(lstm_backward_row, args, share))
}
