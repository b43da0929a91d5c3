/* The forward and the backward pass: loops over time. */

#pragma once

#include "products.h"

/* Computes a tile: at most ROWS rows, and the units of one panel. */
typedef void TileKernel(const SequenceArgs *, Tile, int rows);

/* Computes one row, and the units of one vector. */
typedef void RowKernel(const SequenceArgs *, Tile);

/* Call the kernel for rows ``from`` to ``to``, split evenly into tiles of at most ROWS rows, and
 * for all ``size`` units, in tiles of ``max_units``. */
INLINE void for_each_tile(TileKernel kernel, const SequenceArgs *args, int64_t t, int64_t from,
                          int64_t to, int max_units, int64_t size)
{
    int64_t tiles = (max(to - from, 0) + ROWS - 1) / ROWS;
    for (int64_t unit = 0; unit < size; unit += max_units)
        for (int64_t i = 0; i < tiles; i++) {
            int64_t row = from + (to - from) * i / tiles;
            int64_t end = from + (to - from) * (i + 1) / tiles;
            kernel(args, make_tile(t, row, unit, max_units, size), end - row);
        }
}

/* The forward pass of rows ``from`` to ``to``, all steps; a panel has ``max_units`` units. */
INLINE void forward_pass(TileKernel kernel, const SequenceArgs *args, int64_t from, int64_t to,
                         int max_units)
{
    int64_t begun = from;
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = args->reverse ? args->T - 1 - step : step;
        int64_t end = min(to, rows_of_step(args, t));
        make_first_factors(args, t, begun, end);
        begun = max(begun, end);
        for_each_tile(kernel, args, t, from, end, max_units, args->H);
    }
}

/* Call the kernel for rows ``from`` to ``to`` one by one, in vectors of the ``size`` units. */
INLINE void for_each_row(RowKernel kernel, const SequenceArgs *args, int64_t t, int64_t from,
                         int64_t to, int64_t size)
{
    for (int64_t row = from; row < to; row++)
        for (int64_t unit = 0; unit < size; unit += LANES)
            kernel(args, make_tile(t, row, unit, LANES, size));
}

/* The products of d of step t: dh += d W_hh, dx = d W_ih. */
INLINE void add_products_of_d(const SequenceArgs *args, int64_t t, int64_t from, int64_t to)
{
    for_each_tile(add_to_dh, args, t, from, to, VECTORS * LANES, args->P);
    if (args->d_input)
        for_each_tile(write_d_input, args, t, from, to, VECTORS * LANES, args->I);
}

/* The backward pass of the same rows. In each step, the row kernel stores the gate gradients in d
 * and the direct contribution to dh_{t-1} in dh; then the matrix products of d are added. */
INLINE void backward_pass(RowKernel kernel, const SequenceArgs *args, int64_t from, int64_t to)
{
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = args->reverse ? step : args->T - 1 - step;
        int64_t end = min(to, rows_of_step(args, t));
        for_each_row(kernel, args, t, from, end, args->H);
        add_products_of_d(args, t, from, end);
    }
}

/* Each thread runs ``pass`` for its own rows, ``from`` to ``to``. */
#define FOR_EACH_THREAD(pass)                                                                      \
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")                        \
    for (int64_t i = 0; i < args->threads; i++) {                                                  \
        int64_t from = first_row_of_thread(args, i), to = first_row_of_thread(args, i + 1);        \
        pass;                                                                                      \
    }

/* dh plus the gradient of the output of this step. */
INLINE vector load_dh(const SequenceArgs *args, Tile tile)
{
    vector dh = load(dh_ptr(args, tile, 0), tile.n);
    if (!args->d_outputs)
        return dh;
    int64_t row = args->offsets ? first_row(args, tile.t) + tile.row : tile.row;
    int64_t step = args->offsets ? 0 : tile.t * args->d_outputs_step_stride;
    return dh + load(args->d_outputs + step + row * args->d_outputs_row_stride + tile.unit,
                     tile.n);
}
