/* The arguments of every kernel, and the tile of the data on which a kernel works. */

#pragma once

#include "factors.h"

/* The arguments of every kernel. The buffers are those of Block and CellKernel.backward in
 * cell_kernel.py. They are contiguous unless a stride, in elements, is given. */
typedef struct {
    int64_t T, B, I, H, G, gradient_count, reverse, threads;
    int64_t needs_backward;                 /* whether a backward pass may follow */
    const stored *w_ih, *w_hh;              /* in panels (see multiply_rows) */
    const real *b, *b_hn;                   /* (G*H); the GRU's (H) */
    const stored *input;                    /* (T, B, I) */
    int64_t input_step_stride, input_row_stride;
    real *gates;                            /* (T, B, G*H) */
    real *h_before, *h_after, *extra;       /* (T, B, H) */
    stored *h_factors;                      /* (2, B, H), with BFLOAT16 */
    real *c_before, *c_after;               /* (T, B, H) */
    int64_t c_step_stride;                  /* 0 if one step's buffer is reused for all steps */
    stored *d;                              /* (T, B, gradient_count*H) */
    const real *d_outputs;                  /* (T, B, H), or null */
    int64_t d_outputs_step_stride, d_outputs_row_stride;
    real *d_input;                          /* (T, B, I), or null */
    real *dh, *dc;                          /* (B, H) */
    real *d_w_ih, *d_w_hh;                  /* (G*H, I), (G*H, H) */
    stored *panels;                         /* (threads, panel_elements), for add_to_weights */
} SequenceArgs;

/* Tile coordinates: time step, first batch row, first unit, number of units. */
typedef struct {
    int64_t t, row, unit, n;
} Tile;

/* A tile of at most max_units units, fewer at the end of ``size`` units. */
INLINE Tile make_tile(int64_t t, int64_t row, int64_t unit, int64_t max_units, int64_t size)
{
    return (Tile){t, row, unit, size - unit < max_units ? size - unit : max_units};
}

/* Pointer to row r of the tile in a buffer (T, B, count*H). */
INLINE real *element_ptr(real *buffer, const SequenceArgs *args, Tile tile, int r, int count)
{
    return buffer + (tile.t * args->B + tile.row + r) * count * args->H + tile.unit;
}

/* Pointer to row r of the tile in a buffer (B, H). */
INLINE real *row_ptr(real *buffer, const SequenceArgs *args, Tile tile, int r)
{
    return buffer + (tile.row + r) * args->H + tile.unit;
}

/* Pointer to a row of the tile in d, (T, B, gradient_count*H). */
INLINE stored *d_ptr(const SequenceArgs *args, Tile tile)
{
    return args->d + (tile.t * args->B + tile.row) * args->gradient_count * args->H + tile.unit;
}

/* h_{t-1} of the tile's rows, as factors. With BFLOAT16 only two steps of them are kept. */
INLINE const stored *h_before_factors(const SequenceArgs *args, Tile tile)
{
#ifdef BFLOAT16
    return args->h_factors + (tile.t % 2 * args->B + tile.row) * args->H;
#else
    return args->h_before + (tile.t * args->B + tile.row) * args->H;
#endif
}

/* Store h_t of row r and vector v of the tile, also as a factor of the next step. */
INLINE void store_h(const SequenceArgs *args, Tile tile, int r, int v, vector h)
{
    int64_t n = tile.n - v * LANES;
    store(element_ptr(args->h_after, args, tile, r, 1) + v * LANES, n, h);
#ifdef BFLOAT16
    int64_t row = (tile.t + 1) % 2 * args->B + tile.row + r;
    store_factors(args->h_factors + row * args->H + tile.unit + v * LANES, n, h);
#endif
}

/* Make the factors of the first step t, for the rows ``from`` to ``to``. */
INLINE void make_first_factors(const SequenceArgs *args, int64_t t, int64_t from, int64_t to)
{
#ifdef BFLOAT16
    int64_t n = (to - from) * args->H;
    const real *h = args->h_before + (t * args->B + from) * args->H;
    stored *factors = args->h_factors + (t % 2 * args->B + from) * args->H;
    for (int64_t i = 0; i < n; i += LANES)
        store_factors(factors + i, n - i, load(h + i, n - i));
#else
    (void)args, (void)t, (void)from, (void)to;      /* h itself */
#endif
}
