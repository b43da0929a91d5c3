/* Matrix products of a tile, whose sums stay in registers. */

#pragma once

#include "rows.h"

/* sums += x W for a few rows of x and one group of ``n`` factors. */
INLINE void multiply_group(const int rows, const int vectors, const stored *x, int64_t x_row_stride,
                           const int n, const stored *panel, Sums sums)
{
    factors w[VECTORS];
    UNROLLED (int v = 0; v < vectors; v++)
        w[v] = load_groups(panel + v * LANES * GROUP);
    UNROLLED (int r = 0; r < rows; r++) {
        factors group = broadcast_group(x + r * x_row_stride, n);
        UNROLLED (int v = 0; v < vectors; v++)
            sums[r][v] = add_products(sums[r][v], w[v], group);
    }
}

/* sums += x W for a few rows of x, of ``depth`` elements each with stride ``element_stride``; the
 * factors of a group are neighbours in memory, whatever the stride.
 *
 * A panel holds some columns of W: for each element of the depth, the vectors of one row of sums.
 * Each loaded vector is reused for all rows. ``rows`` and ``vectors`` are compile-time constants,
 * so that the compiler keeps the sums in registers. */
INLINE void multiply_rows(const int rows, const int vectors, const stored *x, int64_t x_row_stride,
                          int64_t element_stride, int64_t depth, const stored *panel, Sums sums)
{
    Sums a;
    memcpy(a, sums, sizeof(Sums));
    for (int64_t k = 0; k + GROUP <= depth; k += GROUP)
        multiply_group(rows, vectors, x + k * element_stride, x_row_stride, GROUP,
                       panel + k * vectors * LANES, a);
    if (depth % GROUP) {
        int64_t k = depth - depth % GROUP;
        multiply_group(rows, vectors, x + k * element_stride, x_row_stride, depth % GROUP,
                       panel + k * vectors * LANES, a);
    }
    memcpy(sums, a, sizeof(Sums));
}

/* The same with a number of rows that is known only at run time. */
INLINE void multiply(int rows, const int vectors, const stored *x, int64_t x_row_stride,
                     int64_t element_stride, int64_t depth, const stored *panel, Sums sums)
{
#define MULTIPLY_ROWS(n)                                                                           \
    multiply_rows(n, vectors, x, x_row_stride, element_stride, depth, panel, sums)
    switch (rows) {
        case 1: MULTIPLY_ROWS(1); break;
        case 2: MULTIPLY_ROWS(2); break;
        case 3: MULTIPLY_ROWS(3); break;
#ifdef HAS_32_REGISTERS
        case 4: MULTIPLY_ROWS(4); break;
        case 5: MULTIPLY_ROWS(5); break;
        case 6: MULTIPLY_ROWS(6); break;
#endif
    }
}

/* Load n elements of each of a few rows with stride ``row_stride``. */
INLINE void load_sums(Sums sums, const real *from, int64_t row_stride, int rows, int64_t n)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = load(from + r * row_stride + v * LANES, n - v * LANES);
}

INLINE void store_sums(real *to, int64_t row_stride, int rows, int64_t n, Sums sums)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            store(to + r * row_stride + v * LANES, n - v * LANES, sums[r][v]);
}

/* The biases of every gate, for a few rows. */
INLINE void load_biases(const SequenceArgs *args, Tile tile, int rows, int gates, Sums sums)
{
    for (int r = 0; r < rows; r++)
        for (int gate = 0; gate < gates; gate++)
            sums[r][gate] = load(args->b + gate * args->H + tile.unit, tile.n);
}

/* sums += x_t W_ihᵀ, the units of the tile for every gate. */
INLINE void multiply_x(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    const stored *x = x_row(args, tile.t, tile.row);
    const stored *panel = args->w_ih + tile.unit * args->G * padded(args->I);
    multiply(rows, vectors, x, args->input_row_stride, 1, args->I, panel, sums);
}

/* sums += h_{t-1} W_hhᵀ, the units of the tile for every gate. */
INLINE void multiply_h(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    const stored *h = h_factors(args, tile);
    const stored *panel = args->w_hh + tile.unit * args->G * padded(args->P);
    multiply(rows, vectors, h, args->P, 1, args->P, panel, sums);
}

/* sums += d W for the units of the tile, with G*H elements of each row of d, from ``first`` on. */
INLINE void multiply_d(const SequenceArgs *args, Tile tile, int rows, int64_t first,
                       const stored *w, Sums sums)
{
    int64_t d_row_stride = args->gradient_count * args->H, depth = args->G * args->H;
    const stored *d = args->d + (first_row(args, tile.t) + tile.row) * d_row_stride + first;
    multiply(rows, VECTORS, d, d_row_stride, 1, depth, w + tile.unit * padded(depth), sums);
}

/* dh += d W_hh */
static void add_to_dh(const SequenceArgs *args, Tile tile, int rows)
{
    Sums dh;
    load_sums(dh, dh_ptr(args, tile, 0), args->P, rows, tile.n);
    multiply_d(args, tile, rows, 0, args->w_hh, dh);
    store_sums(dh_ptr(args, tile, 0), args->P, rows, tile.n, dh);
}

/* dx = d W_ih */
static void write_d_input(const SequenceArgs *args, Tile tile, int rows)
{
    Sums dx = {0};
    multiply_d(args, tile, rows, (args->gradient_count - args->G) * args->H, args->w_ih, dx);
    real *d_input = args->d_input + (first_row(args, tile.t) + tile.row) * args->I + tile.unit;
    store_sums(d_input, args->I, rows, tile.n, dx);
}
