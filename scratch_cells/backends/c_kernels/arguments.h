/* The arguments of every kernel, and the tile of the data on which a kernel works. */

#pragma once

#include "vectors.h"

/* The arguments of every kernel. The buffers are those of Block and CellKernel.backward in
 * cell_kernel.py. They are contiguous unless a stride, in elements, is given. */
typedef struct {
    int64_t T, B, I, H, G, gradient_count, reverse, threads;
    int64_t needs_backward;                 /* whether a backward pass may follow */
    const stored *w_ih, *w_hh;                /* in panels (see multiply_rows) */
    const real *b, *b_hn;                   /* (G*H); the GRU's (H) */
    const stored *input;                    /* (T, B, I) */
    int64_t input_step_stride, input_row_stride;
    real *gates;                            /* (T, B, G*H) */
    real *h_before, *h_after, *extra;       /* (T, B, H) */
    real *c_before, *c_after;               /* (T, B, H) */
    int64_t c_step_stride;                  /* 0 if one step's buffer is reused for all steps */
    stored *d;                              /* (T, B, gradient_count*H) */
    const real *d_outputs;                  /* (T, B, H), or null */
    int64_t d_outputs_step_stride, d_outputs_row_stride;
    real *d_input;                          /* (T, B, I), or null */
    real *dh, *dc;                          /* (B, H) */
    real *d_w_ih, *d_w_hh;                  /* (G*H, I), (G*H, H) */
    stored *panels;                         /* (threads, DEPTH * UNITS), for add_to_weights */
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
