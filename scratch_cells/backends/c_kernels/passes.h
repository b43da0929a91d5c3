/* The forward and the backward pass: loops over time. */

#pragma once

#include "in_place.h"
#include "products.h"

/* Computes a tile: at most MAX_ROWS rows, and the units of one panel. */
typedef void TileKernel(const SequenceArgs *, Tile, int rows);

/* Computes one row, and the units of one vector. */
typedef void RowKernel(const SequenceArgs *, Tile);

/* Whether the rows of consecutive steps follow each other in x. */
INLINE int rows_are_joined(const SequenceArgs *args)
{
    return args->offsets || args->input_step_stride == args->B * args->input_row_stride;
}

/* gates = W_ih x + b before the activation, for all steps: W_ih is read from memory once. */
static void project(const SequenceArgs *args, Share share)
{
    int64_t columns = args->G * args->H, stride = args->input_row_stride;
    int joined = rows_are_joined(args) && share.to - share.from == args->B;
    FOR_EACH_PANEL(column, share, columns, UNITS)
        for (int64_t t = 0; t < (joined ? 1 : args->T); t++) {
            int64_t rows = joined ? first_row(args, args->T) : rows_of_share(args, share, t);
            real *gates = args->gates + (first_row(args, t) + share.from) * columns + column;
            multiply_panel(rows, x_row(args, t, share.from), stride, args->I,
                           args->w_ih_panels + column * padded(args->I), columns - column,
                           args->b + column, 0, gates, columns);
        }
}

/* sums += x_t W_ihᵀ, the units of the tile for every gate. */
INLINE void multiply_x(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    if (is_in_place(args)) {
        multiply_in_place(args, tile, rows, vectors, x_row(args, tile.t, tile.row),
                          args->input_row_stride, args->I, args->w_ih, sums);
        return;
    }
    const stored *panel = args->w_ih_panels + tile.unit * args->G * padded(args->I);
    multiply(rows, vectors, x_row(args, tile.t, tile.row), args->input_row_stride, 1, args->I,
             panel, sums);
}

/* sums = b, the units of the tile for every gate. */
INLINE void load_bias(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    for (int v = 0; v < vectors; v++) {
        vector b = load(args->b + tile.unit + offset_of(args, v), count_of(args, tile, v));
        for (int r = 0; r < rows; r++)
            sums[r][v] = b;
    }
}

/* sums = W_ih x + b, the units of the tile for every gate. */
INLINE void load_projection(const SequenceArgs *args, Tile tile, int rows, const int vectors,
                            Sums sums)
{
    if (args->projects_in_steps) {
        load_bias(args, tile, rows, vectors, sums);
        multiply_x(args, tile, rows, vectors, sums);
        return;
    }
    int64_t columns = args->G * args->H;
    const real *projected = element_ptr(args->gates, args, tile, 0, args->G);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const real *from = projected + r * columns + offset_of(args, v);
            sums[r][v] = load(from, count_of(args, tile, v));
            __builtin_prefetch(from + LANES);       /* of the next tile */
        }
}

/* sums += h_{t-1} W_hhᵀ, the units of the tile for every gate. */
INLINE void multiply_h(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    if (is_in_place(args)) {
        multiply_in_place(args, tile, rows, vectors, h_factors(args, tile), args->P, args->P,
                          args->w_hh, sums);
        return;
    }
    const stored *panel = args->w_hh_panels + tile.unit * args->G * padded(args->P);
    multiply(rows, vectors, h_factors(args, tile), args->P, 1, args->P, panel, sums);
}

/* Call the kernel for the share of step t, in tiles of ``max_units``. */
INLINE void for_each_tile(TileKernel kernel, const SequenceArgs *args, Share share, int64_t t,
                          int max_units)
{
    int64_t rows = rows_of_share(args, share, t), tiles = (rows + MAX_ROWS - 1) / MAX_ROWS;
    FOR_EACH_PANEL(unit, share, args->H, max_units)
        for (int64_t i = 0; i < tiles; i++) {
            int64_t row = rows * i / tiles, end = rows * (i + 1) / tiles;
            kernel(args, make_tile(t, share.from + row, unit, max_units, args->H), end - row);
        }
}

/* Make the factors of h_{t-1} in step t, for the rows whose first step it is: those from ``begun``
 * on. Return the number of rows that have begun. */
INLINE int64_t begin_rows(const SequenceArgs *args, Share share, int64_t t, int64_t begun)
{
    int64_t rows = rows_of_share(args, share, t), count = rows - begun;
    if (GROUP == 1 || count <= 0)
        return begun;                       /* h itself has the factors */
    begun += share.from;
    make_first_factors(args, t, begun + count * share.part / share.parts,
                       begun + count * (share.part + 1) / share.parts);
    wait_for_threads(share);
    return rows;
}

/* The forward pass of a share, all steps; a panel of W_hh has ``max_units`` units. */
INLINE void forward_pass(TileKernel kernel, const SequenceArgs *args, Share share, int max_units)
{
    if (!args->projects_in_steps) {
        project(args, share);
        wait_for_threads(share);
    }
    int64_t begun = 0;
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = time_of(args, step);
        begun = begin_rows(args, share, t, begun);
        for_each_tile(kernel, args, share, t, max_units);
        wait_for_threads(share);
    }
}

/* Call the kernel for the share of step t row by row, in vectors of the ``size`` units. */
INLINE void for_each_row(RowKernel kernel, const SequenceArgs *args, Share share, int64_t t,
                         int64_t size)
{
    int64_t end = share.from + rows_of_share(args, share, t);
    for (int64_t row = share.from; row < end; row++)
        FOR_EACH_PANEL(column, share, size, UNITS)
            for (int64_t unit = column; unit < min(column + UNITS, size); unit += LANES)
                kernel(args, make_tile(t, row, unit, LANES, size));
}

/* dh += d W_hh in step t. */
static void add_to_dh(const SequenceArgs *args, Share share, int64_t t)
{
    int64_t P = args->P, depth = args->G * args->H;
    const stored *d = args->d + (first_row(args, t) + share.from) * args->d_row_stride;
    FOR_EACH_PANEL(column, share, P, UNITS) {
        real *dh = args->dh + share.from * P + column;
        int64_t rows = rows_of_share(args, share, t);
        if (is_in_place(args)) {
            add_in_place(args, rows, d, first_of_hh(args), args->w_hh, P, column, dh, P);
            continue;
        }
        multiply_panel(rows, d, args->d_row_stride, depth,
                       args->w_hh_panels + column * padded(depth), P - column, dh, P, dh, P);
    }
}

static const real zeros[UNITS] = {0};

/* dx = d W_ih for the steps from ``first`` to ``end``. */
static void write_d_input(const SequenceArgs *args, Share share, int64_t first, int64_t end)
{
    int64_t I = args->I, depth = args->G * args->H, stride = args->d_row_stride;
    int joined = share.to - share.from == args->B;
    FOR_EACH_PANEL(column, share, I, UNITS)
        for (int64_t t = first; t < (joined ? first + 1 : end); t++) {
            int64_t row = first_row(args, t) + share.from;
            int64_t rows = joined ? first_row(args, end) - row : rows_of_share(args, share, t);
            const stored *d = args->d + row * stride + (args->gradient_count - args->G) * args->H;
            real *dx = args->d_input + row * I + column;
            if (is_in_place(args)) {
                for (int64_t r = 0; r < rows; r++)
                    memset(dx + r * I, 0, min(UNITS, I - column) * sizeof(real));
                add_in_place(args, rows, d, 0, args->w_ih, I, column, dx, I);
                continue;
            }
            multiply_panel(rows, d, stride, depth, args->w_ih_panels + column * padded(depth),
                           I - column, zeros, 0, dx, I);
        }
}

/* The backward pass of a share. In each step, the row kernel stores the gate gradients in d and the
 * direct contribution to dh_{t-1} in dh; then the matrix products of d are added. dx of all steps is
 * computed at once if the weights are large, and after each step, while d is in the cache, if not. */
INLINE void backward_pass(RowKernel kernel, const SequenceArgs *args, Share share)
{
    int small = weights_are_small(args);
    for (int64_t step = args->T - 1; step >= 0; step--) {
        int64_t t = time_of(args, step);
        for_each_row(kernel, args, share, t, args->H);
        wait_for_threads(share);
        add_to_dh(args, share, t);
        if (args->d_input && small)
            write_d_input(args, share, t, t + 1);
    }
    if (args->d_input && !small)
        write_d_input(args, share, 0, args->T);
}

/* dh plus the gradient of the output of this step. */
INLINE vector load_dh(const SequenceArgs *args, Tile tile)
{
    vector dh = load(dh_ptr(args, tile, 0), tile.n);
    if (!args->d_outputs)
        return dh;
    int64_t row = args->offsets ? first_row(args, tile.t) + tile.row : tile.row;
    int64_t step = args->offsets ? 0 : tile.t * args->d_outputs_step_stride;
    int64_t first = step + row * args->d_outputs_row_stride + tile.unit;
    if (args->returns_factors)
        return dh + widened(load_factors((const stored *)args->d_outputs + first, tile.n));
    return dh + load((const real *)args->d_outputs + first, tile.n);
}
