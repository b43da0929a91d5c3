/* The rows of a time step in the buffers, and the tile of the data on which a kernel works. */

#pragma once

#include "arguments.h"

/* The buffers are described as (T, B, ...), the layout of a batch, which has B rows in every step.
 * With packed sequences step t has fewer rows, the first of them at offsets[t]. */

/* The first row of step t, relative to the first step, and the number of rows of all steps for
 * t = T. */
INLINE int64_t first_row(const SequenceArgs *args, int64_t t)
{
    return args->offsets ? args->offsets[t] - args->offsets[0] : t * args->B;
}

/* Rows of step t. */
INLINE int64_t rows_of_step(const SequenceArgs *args, int64_t t)
{
    return args->offsets ? args->offsets[t + 1] - args->offsets[t] : args->B;
}

/* The first row of step t - 1, relative to that of the step before the first one. */
INLINE int64_t earlier_row(const SequenceArgs *args, int64_t t)
{
    return args->offsets ? args->offsets[t - 1] - args->offsets[-1] : t * args->B;
}

/* The first row of step t in h_before and c_before. In the order of the sequence, the state before
 * a step is in the rows of step t - 1; in reverse, the state after it is. */
INLINE int64_t row_before(const SequenceArgs *args, int64_t t)
{
    return args->reverse ? first_row(args, t) : earlier_row(args, t);
}

/* The first row of step t in h_after and c_after. */
INLINE int64_t row_after(const SequenceArgs *args, int64_t t)
{
    return args->reverse ? earlier_row(args, t) : first_row(args, t);
}

/* Row b of x at step t. */
INLINE const stored *x_row(const SequenceArgs *args, int64_t t, int64_t b)
{
    int64_t row = args->offsets ? first_row(args, t) + b : b;
    int64_t step = args->offsets ? 0 : t * args->input_step_stride;
    return args->input + step + row * args->input_row_stride;
}

/* The time of a step of the forward pass. */
INLINE int64_t time_of(const SequenceArgs *args, int64_t step)
{
    return args->reverse ? args->T - 1 - step : step;
}

/* Row b of h before step t. If h_first is given, h_before has no rows for the first step. */
INLINE const real *h_row(const SequenceArgs *args, int64_t t, int64_t b)
{
    if (args->h_first && t == time_of(args, 0))
        return args->h_first + b * args->P;
    return args->h_before + (row_before(args, t) + b) * args->P;
}

/* Whether both weights fit in a core's own cache, 1 MiB. */
INLINE int weights_are_small(const SequenceArgs *args)
{
    return args->G * args->H * (args->I + args->P) * sizeof(stored) <= 1 << 20;
}

/* Tile coordinates: time step, first batch row, first unit, number of units. */
typedef struct {
    int64_t t, row, unit, n;
} Tile;

/* A tile of at most max_units units, fewer at the end of ``size`` units. */
INLINE Tile make_tile(int64_t t, int64_t row, int64_t unit, int64_t max_units, int64_t size)
{
    return (Tile){t, row, unit, size - unit < max_units ? size - unit : max_units};
}

/* Vector v of a tile's sums has the units of gate v or, without gates, the next units of h. This is
 * its place after the first vector, and its number of units. */
INLINE int64_t offset_of(const SequenceArgs *args, int v)
{
    return v * (args->G > 1 ? args->H : LANES);
}

INLINE int64_t count_of(const SequenceArgs *args, Tile tile, int v)
{
    return args->G > 1 ? tile.n : tile.n - v * LANES;
}

/* Pointer to row r of the tile in a buffer (T, B, count*H). */
INLINE real *element_ptr(real *buffer, const SequenceArgs *args, Tile tile, int r, int count)
{
    return buffer + (first_row(args, tile.t) + tile.row + r) * count * args->H + tile.unit;
}

/* Pointer to row r of the tile in h before the step. */
INLINE const real *before_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return h_row(args, tile.t, tile.row + r) + tile.unit;
}

/* Pointer to row r of the tile in h_after. */
INLINE real *after_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return args->h_after + (row_after(args, tile.t) + tile.row + r) * args->P + tile.unit;
}

/* Pointer to row r of the tile in a buffer (B, H). */
INLINE real *row_ptr(real *buffer, const SequenceArgs *args, Tile tile, int r)
{
    return buffer + (tile.row + r) * args->H + tile.unit;
}

/* Pointer to row r of the tile in dh, (B, P). */
INLINE real *dh_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return args->dh + (tile.row + r) * args->P + tile.unit;
}

/* Pointer to a row of the tile in d. */
INLINE stored *d_ptr(const SequenceArgs *args, Tile tile)
{
    int64_t row = first_row(args, tile.t) + tile.row;
    return args->d + row * args->d_row_stride + tile.unit;
}

/* h_{t-1} of the tile's rows, as factors. With BFLOAT16 only two steps of them are kept. */
INLINE const stored *h_factors(const SequenceArgs *args, Tile tile)
{
#ifdef BFLOAT16
    return args->h_factors + (tile.t % 2 * args->B + tile.row) * args->P;
#else
    return h_row(args, tile.t, tile.row);
#endif
}

/* Store h_t of row r and vector v of the tile, also as a factor of the next step. */
INLINE void store_h(const SequenceArgs *args, Tile tile, int r, int v, vector h)
{
    int64_t n = tile.n - v * LANES;
    store(after_ptr(args, tile, r) + v * LANES, n, h);
#ifdef BFLOAT16
    int64_t row = (tile.t + 1) % 2 * args->B + tile.row + r;
    store_factors(args->h_factors + row * args->P + tile.unit + v * LANES, n, h);
#endif
}

/* Make the factors of h_{t-1} of the rows ``from`` to ``to``, whose first step is t. */
INLINE void make_first_factors(const SequenceArgs *args, int64_t t, int64_t from, int64_t to)
{
#ifdef BFLOAT16
    int64_t n = (to - from) * args->P;
    const real *h = h_row(args, t, from);
    stored *factors = args->h_factors + (t % 2 * args->B + from) * args->P;
    for (int64_t i = 0; i < n; i += LANES)
        store_factors(factors + i, n - i, load(h + i, n - i));
#else
    (void)args, (void)t, (void)from, (void)to;      /* h itself */
#endif
}
