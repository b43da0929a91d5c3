/* The gradients of the weights: one product for all steps of a block. */

#pragma once

#include "products.h"

/* A panel of add_weight_products: DEPTH rows, and the units of one tile. It is too large for the
 * stack of a thread, which may have 64 KiB. */
enum { DEPTH = 256, UNITS = VECTORS * LANES };

/* Load min(n, LANES) elements of a row of the block, of all T*B rows, from ``column`` on. */
typedef factors LoadElements(const SequenceArgs *, int64_t row, int64_t column, int64_t n);

INLINE factors load_x(const SequenceArgs *args, int64_t row, int64_t column, int64_t n)
{
    int64_t t = row / args->B, b = row % args->B;
    return load_factors(args->input + t * args->input_step_stride + b * args->input_row_stride
                        + column, n);
}

INLINE factors load_h_before(const SequenceArgs *args, int64_t row, int64_t column, int64_t n)
{
    return rounded(load(args->h_before + row * args->H + column, n));
}

INLINE factors load_d(const SequenceArgs *args, int64_t row, int64_t column, int64_t n)
{
    return load_factors(args->d + row * args->gradient_count * args->H + column, n);
}

/* Load the elements of the GROUP rows from ``row`` on, as groups; from row ``end`` on they are 0. */
INLINE factors load_rows(LoadElements load_elements, const SequenceArgs *args, int64_t row,
                         int64_t end, int64_t column, int64_t n)
{
    factors first = load_elements(args, row, column, n);
    if (GROUP == 1 || row + 1 == end)
        return first;
    return join(first, load_elements(args, row + 1, column, n));
}

/* Rows of d as the factors of a product over rows: the elements from ``first`` on, in groups of
 * GROUP rows. ``columns`` of them are copied to ``copy`` unless a group is a single row. */
typedef struct {
    const stored *groups;
    int64_t row_stride;                     /* from a row to the next */
} Rows;

INLINE Rows rows_of_d(const SequenceArgs *args, int64_t start, int64_t end, int64_t first,
                      int64_t columns, stored *copy)
{
    if (GROUP == 1) {
        int64_t stride = args->gradient_count * args->H;
        return (Rows){args->d + start * stride + first, stride};
    }
    for (int64_t row = start; row < end; row += GROUP)
        for (int64_t i = 0; i < columns; i += LANES) {
            factors groups = load_rows(load_d, args, row, end, first + i, columns - i);
            memcpy(copy + (row - start) * columns + i * GROUP, &groups, BYTES);
        }
    return (Rows){copy, columns};
}

/* d_w += dᵀ x for the rows ``from`` to ``to`` of d_w, (G*H, columns). The elements of a row of d are
 * taken from ``first`` on. DEPTH rows of x at a time are copied into a panel, so that they stay in
 * the nearest caches. */
INLINE void add_weight_products(const SequenceArgs *args, int64_t from, int64_t to, int64_t first,
                                LoadElements load_elements, int64_t columns, stored *panel,
                                real *d_w)
{
    int64_t end = args->T * args->B;
    for (int64_t start = 0; start < end; start += DEPTH) {
        int64_t stop = end - start < DEPTH ? end : start + DEPTH;
        Rows d = rows_of_d(args, start, stop, first + from, to - from, panel + DEPTH * UNITS);
        for (int64_t column = 0; column < columns; column += UNITS) {
            int64_t n = columns - column;
            for (int64_t row = start; row < stop; row += GROUP)
                for (int v = 0; v < VECTORS; v++) {
                    factors groups = load_rows(load_elements, args, row, stop,
                                               column + v * LANES, n - v * LANES);
                    memcpy(panel + (row - start) * UNITS + v * LANES * GROUP, &groups, BYTES);
                }
            for (int64_t i = from; i < to; i += ROWS) {
                int rows = to - i < ROWS ? to - i : ROWS;
                real *sum = d_w + i * columns + column;
                Sums sums;
                load_sums(sums, sum, columns, rows, n);
                multiply(rows, VECTORS, d.groups + (i - from) * GROUP, GROUP, d.row_stride,
                         stop - start, panel, sums);
                store_sums(sum, columns, rows, n, sums);
            }
        }
    }
}

/* Elements of a thread's part of ``panels``: a panel and, for d_w with so many rows, groups of d. */
int64_t panel_elements(int64_t rows, int64_t threads)
{
    int64_t columns = (rows + threads - 1) / threads;
    return DEPTH * UNITS + (GROUP == 1 ? 0 : DEPTH * columns + LANES * GROUP);
}

/* d_w_ih += dᵀ x and d_w_hh += dᵀ h_{t-1} over all steps; each thread computes some of the rows. */
void add_to_weights(const SequenceArgs *args)
{
    int64_t H = args->H, rows = args->G * H, projection = (args->gradient_count - args->G) * H;
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        stored *panel = args->panels + i * panel_elements(rows, args->threads);
        add_weight_products(args, from, to, projection, load_x, args->I, panel, args->d_w_ih);
        add_weight_products(args, from, to, 0, load_h_before, H, panel, args->d_w_hh);
    }
}
