/* The gradients of the weights: one product for all steps of a block. */

#pragma once

#include "products.h"

/* A panel of add_weight_products: DEPTH rows, and the units of one tile. It is too large for the
 * stack of a thread, which may have 64 KiB. */
enum { DEPTH = 256, UNITS = VECTORS * LANES };

/* Pointer to row b of an operand of a product at step t: x_row or h_row. */
typedef const stored *RowOf(const SequenceArgs *, int64_t t, int64_t b);

/* d_w += dᵀ x for the rows ``from`` to ``to`` of d_w, (G*H, columns). row_of gives the rows of x,
 * (T, B, columns); the elements of a row of d are taken from ``first`` on. DEPTH rows of x at a time
 * are copied into a panel, so that they stay in the nearest caches. */
INLINE void add_weight_products(const SequenceArgs *args, int64_t from, int64_t to, int64_t first,
                                RowOf row_of, int64_t columns, stored *panel, real *d_w)
{
    int64_t d_row_stride = args->gradient_count * args->H, total = first_row(args, args->T);
    int64_t t = 0, b = 0;
    for (int64_t start = 0; start < total; start += DEPTH) {
        int64_t depth = total - start < DEPTH ? total - start : DEPTH;
        const stored *d = args->d + start * d_row_stride + first;
        int64_t next_t = t, next_b = b;
        for (int64_t column = 0; column < columns; column += UNITS) {
            int64_t n = columns - column;
            next_t = t, next_b = b;
            for (int64_t k = 0; k < depth; k++, next_b++) {
                for (; next_b == rows_of_step(args, next_t); next_b = 0)
                    next_t++;
                const stored *row = row_of(args, next_t, next_b) + column;
                for (int v = 0; v < VECTORS; v++) {
                    vector part = load(row + v * LANES, n - v * LANES);
                    store(panel + k * UNITS + v * LANES, LANES, part);
                }
            }
            for (int64_t i = from; i < to; i += ROWS) {
                int rows = to - i < ROWS ? to - i : ROWS;
                real *sum = d_w + i * columns + column;
                Sums sums;
                load_sums(sums, sum, columns, rows, n);
                multiply(rows, VECTORS, d + i, 1, d_row_stride, depth, panel, sums);
                store_sums(sum, columns, rows, n, sums);
            }
        }
        t = next_t, b = next_b;
    }
}

/* d_w_ih += dᵀ x and d_w_hh += dᵀ h_{t-1}, if it is not null, over all steps; each thread computes
 * some of the rows. */
void add_to_weights(const SequenceArgs *args)
{
    int64_t H = args->H, rows = args->G * H, projection = (args->gradient_count - args->G) * H;
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        stored *panel = args->panels + i * DEPTH * UNITS;
        add_weight_products(args, from, to, projection, x_row, args->I, panel, args->d_w_ih);
        if (args->d_w_hh)
            add_weight_products(args, from, to, 0, h_row, args->P, panel, args->d_w_hh);
    }
}
