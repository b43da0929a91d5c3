/* The GRU. */

#pragma once

#include "activations.h"
#include "passes.h"

/* m = W_hn h + b_hn, r = σ(W_ir x + W_hr h + b_r), z = σ(W_iz x + W_hz h + b_z),
 * n = tanh(W_in x + b_in + r ⊙ m), h = n + z ⊙ (h - n). b_r and b_z are the sums of both biases. */
INLINE void gru_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    int64_t H = args->H;
    Sums sums;
    load_projection(args, tile, rows, 3, sums);
    vector n_of_x[MAX_ROWS];
    for (int row = 0; row < rows; row++) {
        n_of_x[row] = sums[row][2];
        sums[row][2] = load(args->b_hn + tile.unit, tile.n);
    }
    multiply_h(args, tile, rows, 3, sums);
    for (int row = 0; row < rows; row++) {
        vector h = load(before_ptr(args, tile, row), tile.n);
        vector r = sigmoid(sums[row][0]);
        vector z = sigmoid(sums[row][1]);
        vector m = sums[row][2];
        vector n = tanh_of(n_of_x[row] + r * m);
        h = n + z * (h - n);
        store_h(args, tile, row, 0, h);
        if (args->needs_backward) {
            real *gates = element_ptr(args->gates, args, tile, row, 3);
            store(gates, tile.n, r);
            store(gates + H, tile.n, z);
            store(gates + 2 * H, tile.n, n);
            store(element_ptr(args->extra, args, tile, row, 1), tile.n, m);
        }
    }
}

/* dm, dr, dz, dn, and the direct contribution to dh_{t-1}. */
INLINE void gru_backward_row(const SequenceArgs *args, Tile tile)
{
    int64_t H = args->H;
    const real *gates = element_ptr(args->gates, args, tile, 0, 3);
    stored *d = d_ptr(args, tile);
    vector r = load(gates, tile.n);
    vector z = load(gates + H, tile.n);
    vector n = load(gates + 2 * H, tile.n);
    vector m = load(element_ptr(args->extra, args, tile, 0, 1), tile.n);
    vector h_before = load(before_ptr(args, tile, 0), tile.n);
    vector dh = load_dh(args, tile);
    vector dn = (1 - z) * (1 - n * n) * dh;
    vector dz = (h_before - n) * z * (1 - z) * dh;
    vector dm = dn * r;
    vector dr = dn * m * r * (1 - r);
    store_factors(d, tile.n, dm);
    store_factors(d + H, tile.n, dr);
    store_factors(d + 2 * H, tile.n, dz);
    store_factors(d + 3 * H, tile.n, dn);
    store(dh_ptr(args, tile, 0), tile.n, z * dh);
}

void gru_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(gru_forward_tile, args, share, LANES))
}

void gru_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(gru_backward_row, args, share))
}
