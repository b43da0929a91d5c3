/* The LSTM with a projection: h = W_hr u with u = o ⊙ tanh(c). h has P units, u and c have H.
 * Only for float and double: the factors of h for products of bfloat16 are not made. */

#pragma once

#include "lstm.h"

/* The cell's part of a tile: u. */
static void projected_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    lstm_forward_cell(args, tile, rows, 1);
}

/* h = W_hr u in step t. */
static void write_h(const SequenceArgs *args, Share share, int64_t t)
{
    int64_t H = args->H, P = args->P;
    FOR_EACH_PANEL(column, share, P, UNITS) {
        real *h = args->h_after + (row_after(args, t) + share.from) * P + column;
        multiply_panel(rows_of_share(args, share, t), args->u + share.from * H, H, H,
                       args->w_hr_panels + column * padded(H), P - column, zeros, 0, h, P);
    }
}

/* Pointer to row r of the tile in d_h, (T, B, P). */
INLINE stored *d_h_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return args->d_h + (first_row(args, tile.t) + tile.row + r) * args->P + tile.unit;
}

/* dh of this step is stored in d_h. */
static void store_d_h(const SequenceArgs *args, Tile tile)
{
    store_factors(d_h_ptr(args, tile, 0), tile.n, load_dh(args, tile));
    store(dh_ptr(args, tile, 0), tile.n, broadcast(0));
}

/* du = dh W_hr in step t. */
static void write_du(const SequenceArgs *args, Share share, int64_t t)
{
    int64_t H = args->H, P = args->P;
    const stored *d_h = args->d_h + (first_row(args, t) + share.from) * P;
    FOR_EACH_PANEL(column, share, H, UNITS) {
        real *du = args->du + share.from * H + column;
        multiply_panel(rows_of_share(args, share, t), d_h, P, P,
                       args->w_hr_panels + column * padded(P), H - column, zeros, 0, du, H);
    }
}

/* The gradients of a step from du, and u once more, (T, B, H), for the gradient of W_hr. */
static void projected_backward_row(const SequenceArgs *args, Tile tile)
{
    vector o = load(element_ptr(args->gates, args, tile, 0, 4) + 3 * args->H, tile.n);
    vector tanh_c = load(element_ptr(args->extra, args, tile, 0, 1), tile.n);
    stored *u = u_ptr(args, tile, 0) + first_row(args, tile.t) * args->H;
    store_factors(u, tile.n, o * tanh_c);
    lstm_backward_cell(args, tile, load(row_ptr(args->du, args, tile, 0), tile.n));
}

/* As forward_pass: in each step the tiles of u, then h. */
INLINE void projected_forward_pass(const SequenceArgs *args, Share share)
{
    if (!args->projects_in_steps) {
        project(args, share);
        wait_for_threads(share);
    }
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = time_of(args, step);
        for_each_tile(projected_forward_tile, args, share, t, LANES);
        wait_for_threads(share);
        write_h(args, share, t);
        wait_for_threads(share);
    }
}

/* As backward_pass: in each step dh, du, the gradients of the gates, and the products of d. */
INLINE void projected_backward_pass(const SequenceArgs *args, Share share)
{
    int small = weights_are_small(args);
    for (int64_t step = args->T - 1; step >= 0; step--) {
        int64_t t = time_of(args, step);
        for_each_row(store_d_h, args, share, t, args->P);
        wait_for_threads(share);
        write_du(args, share, t);
        for_each_row(projected_backward_row, args, share, t, args->H);
        wait_for_threads(share);
        add_to_dh(args, share, t);
        if (args->d_input && small)
            write_d_input(args, share, t, t + 1);
    }
    if (args->d_input && !small)
        write_d_input(args, share, 0, args->T);
}

void lstm_projected_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(projected_forward_pass(args, share))
}

void lstm_projected_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(projected_backward_pass(args, share))
}
