/* Matrix products whose sums stay in registers. */

#pragma once

#include "threads.h"

/* The sums of a product: at most MAX_ROWS rows, and the columns of one panel.
 *
 * A panel holds some columns of a weight: for each element of the depth, one row of at most VECTORS
 * vectors. DEPTH elements of it stay in the nearest cache while all rows are multiplied by them,
 * ROWS at a time. */
enum { MAX_ROWS = 8 * ROWS, UNITS = VECTORS * LANES, DEPTH = 128 };
typedef vector Sums[MAX_ROWS][VECTORS];

/* x, which the compiler must keep in a register: it would load a weight again for every row. */
INLINE factors kept(factors x)
{
#ifdef __AVX2__
    __asm__("" : "+v"(x));
#endif
    return x;
}

/* sums += x W for a few rows of x and one group of ``n`` factors. */
INLINE void multiply_group(const int rows, const int vectors, const stored *x, int64_t x_row_stride,
                           const int n, const stored *panel, vector (*sums)[VECTORS])
{
    factors w[VECTORS];
    UNROLLED (int v = 0; v < vectors; v++)
        w[v] = kept(load_groups(panel + v * LANES * GROUP));
    UNROLLED (int r = 0; r < rows; r++) {
        factors group = broadcast_group(x + r * x_row_stride, n);
        UNROLLED (int v = 0; v < vectors; v++)
            sums[r][v] = add_products(sums[r][v], w[v], group);
    }
}

/* sums += x W for a few rows of x, of ``depth`` elements each with stride ``element_stride``. The
 * factors of a group are neighbours in memory, whatever the stride.
 *
 * Each loaded vector is reused for all rows. ``rows`` and ``vectors`` are compile-time constants, so
 * that the compiler keeps the sums in registers. */
INLINE void multiply_rows(const int rows, const int vectors, const stored *x, int64_t x_row_stride,
                          int64_t element_stride, int64_t depth, const stored *panel,
                          vector (*sums)[VECTORS])
{
    vector a[ROWS][VECTORS];
    UNROLLED (int r = 0; r < rows; r++)
        UNROLLED (int v = 0; v < vectors; v++)
            a[r][v] = sums[r][v];
    for (int64_t k = 0; k + GROUP <= depth; k += GROUP)
        multiply_group(rows, vectors, x + k * element_stride, x_row_stride, GROUP,
                       panel + k * vectors * LANES, a);
    if (depth % GROUP) {
        int64_t k = depth - depth % GROUP;
        multiply_group(rows, vectors, x + k * element_stride, x_row_stride, depth % GROUP,
                       panel + k * vectors * LANES, a);
    }
    UNROLLED (int r = 0; r < rows; r++)
        UNROLLED (int v = 0; v < vectors; v++)
            sums[r][v] = a[r][v];
}

/* The same with as many rows and vectors as are known only at run time. */
static void multiply_tile(int rows, int vectors, const stored *x, int64_t x_row_stride,
                          int64_t element_stride, int64_t depth, const stored *panel,
                          vector (*sums)[VECTORS])
{
#define CASE(r, v)                                                                                 \
    case (r) * 8 + (v):                                                                            \
        multiply_rows(r, v, x, x_row_stride, element_stride, depth, panel, sums);                  \
        break;
#define CASES(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4)
    switch (rows * 8 + vectors) {
        CASES(1)
        CASES(2)
        CASES(3)
#ifdef HAS_32_REGISTERS
        CASES(4)
        CASES(5)
        CASES(6)
#endif
    }
}

/* The same for at most MAX_ROWS rows. They are split evenly, so that no tile has very few. */
static void multiply(int rows, int vectors, const stored *x, int64_t x_row_stride,
                     int64_t element_stride, int64_t depth, const stored *panel, Sums sums)
{
    int tiles = (rows + ROWS - 1) / ROWS;
    for (int64_t k = 0; k < depth; k += DEPTH)
        for (int i = 0; i < tiles; i++) {
            int row = rows * i / tiles, end = rows * (i + 1) / tiles;
            const stored *part = x + row * x_row_stride + k * element_stride;
            multiply_tile(end - row, vectors, part, x_row_stride, element_stride,
                          min(depth - k, DEPTH), panel + k * vectors * LANES, sums + row);
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

/* Write n elements of each of a few rows to rows with stride ``row_stride``, or add them to those. */
INLINE void write_sums(real *to, int64_t row_stride, int rows, int64_t n, Sums sums, int adds)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) {
            real *place = to + r * row_stride + v * LANES;
            vector sum = adds ? load(place, n - v * LANES) + sums[r][v] : sums[r][v];
            store(place, n - v * LANES, sum);
        }
}

/* Vectors of n elements, at most VECTORS. */
INLINE int vectors_of(int64_t n)
{
    return min(n + LANES - 1, UNITS) / LANES;
}

/* to = from + x W for any number of rows and the n columns of one panel. */
static void multiply_panel(int64_t rows, const stored *x, int64_t x_row_stride, int64_t depth,
                           const stored *panel, int64_t n, const real *from,
                           int64_t from_row_stride, real *to, int64_t to_row_stride)
{
    int64_t groups = (rows + MAX_ROWS - 1) / MAX_ROWS;
    for (int64_t i = 0; i < groups; i++) {
        int64_t row = rows * i / groups, count = rows * (i + 1) / groups - row;
        Sums sums;
        load_sums(sums, from + row * from_row_stride, from_row_stride, count, n);
        multiply(count, vectors_of(n), x + row * x_row_stride, x_row_stride, 1, depth, panel, sums);
        store_sums(to + row * to_row_stride, to_row_stride, count, n, sums);
    }
}
