/* The LSTM with a projection: h = W_hr u with u = o ⊙ tanh(c). h has P units, u and c have H. */

#pragma once

#include "lstm.h"

/* The cell's part of a tile: u. */
static void projected_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    lstm_forward_cell(args, tile, rows, 1);
}

/* h = W_hr u, of the units of the tile among those of h. */
static void project_tile(const SequenceArgs *args, Tile tile, int rows)
{
    Sums h = {0};
    const stored *u = args->u + tile.row * args->H;
    multiply(rows, VECTORS, u, args->H, 1, args->H, args->w_hr + tile.unit * padded(args->H), h);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            store_h(args, tile, r, v, h[r][v]);
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

/* du = dh W_hr */
static void write_du(const SequenceArgs *args, Tile tile, int rows)
{
    Sums du = {0};
    const stored *d_h = args->d_h + (first_row(args, tile.t) + tile.row) * args->P;
    const stored *panel = args->w_hr + tile.unit * padded(args->P);
    multiply(rows, VECTORS, d_h, args->P, 1, args->P, panel, du);
    store_sums(row_ptr(args->du, args, tile, 0), args->H, rows, tile.n, du);
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

/* As forward_pass: in each step the tiles of u, then those of h. */
INLINE void projected_forward_pass(const SequenceArgs *args, int64_t from, int64_t to)
{
    int64_t begun = from;
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = args->reverse ? args->T - 1 - step : step;
        int64_t end = min(to, rows_of_step(args, t));
        make_first_factors(args, t, begun, end);
        begun = max(begun, end);
        for_each_tile(projected_forward_tile, args, t, from, end, LANES, args->H);
        for_each_tile(project_tile, args, t, from, end, VECTORS * LANES, args->P);
    }
}

/* As backward_pass: in each step dh, du, and the products of d. */
INLINE void projected_backward_pass(const SequenceArgs *args, int64_t from, int64_t to)
{
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = args->reverse ? step : args->T - 1 - step;
        int64_t end = min(to, rows_of_step(args, t));
        for_each_row(store_d_h, args, t, from, end, args->P);
        for_each_tile(write_du, args, t, from, end, VECTORS * LANES, args->H);
        for_each_row(projected_backward_row, args, t, from, end, args->H);
        add_products_of_d(args, t, from, end);
    }
}

void lstm_projected_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(projected_forward_pass(args, from, to))
}

void lstm_projected_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(projected_backward_pass(args, from, to))
}
