/* Products with weights as torch stores them, row by row. A panel is faster for many rows of x, but
 * to pack it takes longer than the products of a few rows. For float and double only; the pointers
 * are those of BFLOAT16, too. */

#pragma once

#include "products.h"

INLINE int is_in_place(const SequenceArgs *args)
{
    return !args->w_ih_panels;
}

/* The sum of the lanes of each vector, a sum in each lane. */
INLINE vector sum_lanes(vector *a)
{
    UNROLLED (int width = LANES / 2; width > 0; width /= 2)
        UNROLLED_LANES (int i = 0; i < width; i++)
            a[i] = shuffle(a[i], a[i + width], halves(width, 0))
                   + shuffle(a[i], a[i + width], halves(width, 1));
    return a[0];
}

/* The products of x, (depth), with min(n, LANES) rows of W, of ``depth`` elements each. */
static vector dot_products(const real *x, int64_t depth, const real *w, int64_t n)
{
    vector a[LANES] = {0};
    int64_t k = 0;
    for (; n >= LANES && k + LANES <= depth; k += LANES) {
        vector part = load(x + k, LANES);
        UNROLLED_LANES (int lane = 0; lane < LANES; lane++)
            a[lane] += part * load(w + lane * depth + k, LANES);
    }
    for (; k < depth; k += LANES) {
        vector part = load(x + k, depth - k);
        for (int lane = 0; lane < min(n, LANES); lane++)
            a[lane] += part * load(w + lane * depth + k, depth - k);
    }
    return sum_lanes(a);
}

/* sums += x Wᵀ for a few rows of x and the units of the tile. W is (G*H, depth). */
INLINE void multiply_in_place(const SequenceArgs *args, Tile tile, int rows, const int vectors,
                              const void *rows_of_x, int64_t x_row_stride, int64_t depth,
                              const void *weight, Sums sums)
{
    const real *x = rows_of_x, *w = weight;
    for (int v = 0; v < vectors; v++) {
        int64_t n = count_of(args, tile, v);
        if (n > 0)
            for (int r = 0; r < rows; r++)
                sums[r][v] += dot_products(x + r * x_row_stride, depth,
                                           w + (tile.unit + offset_of(args, v)) * depth, n);
    }
}

/* The first row of W_hh for the elements of d: W_hn of the GRU, whose d has m before r and z. */
INLINE int64_t first_of_hh(const SequenceArgs *args)
{
    return args->gradient_count > args->G ? (args->G - 1) * args->H : 0;
}

/* to += d W for any number of rows of d, of G*H elements, and the columns of W, (G*H, size), from
 * ``column`` on, at most UNITS. The first element of d is for row ``first`` of W; the first rows
 * follow the last one. */
static void add_in_place(const SequenceArgs *args, int64_t rows, const void *rows_of_d,
                         int64_t first, const void *weight, int64_t size, int64_t column, real *to,
                         int64_t to_row_stride)
{
    const real *d = rows_of_d, *w = (const real *)weight + column;
    int64_t depth = args->G * args->H, n = size - column;
    for (int64_t r = 0; r < rows; r++, d += args->d_row_stride, to += to_row_stride) {
        vector a[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            a[v] = load(to + v * LANES, n - v * LANES);
        for (int64_t k = 0, row = first; k < depth; k++, row = row + 1 < depth ? row + 1 : 0)
            if (n >= UNITS)
                UNROLLED (int v = 0; v < VECTORS; v++)
                    a[v] += d[k] * load(w + row * size + v * LANES, LANES);
            else
                for (int v = 0; v < VECTORS; v++)
                    a[v] += d[k] * load(w + row * size + v * LANES, n - v * LANES);
        for (int v = 0; v < VECTORS; v++)
            store(to + v * LANES, n - v * LANES, a[v]);
    }
}
