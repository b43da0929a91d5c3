/* The gradients of the weights: one product for all steps of a block. */

#pragma once

#include "products.h"

/* A panel of add_weight_products: DEPTH rows, and the units of one tile. It is too large for the
 * stack of a thread, which may have 64 KiB. */
enum { DEPTH = 256, UNITS = VECTORS * LANES };

/* d_w += dᵀ x for the rows ``from`` to ``to`` of d_w, (G*H, columns). x is (T, B, columns) with the
 * given strides; the elements of a row of d are taken from ``first`` on. DEPTH rows of x at a time
 * are copied into a panel, so that they stay in the nearest caches. */
static void add_weight_products(const SequenceArgs *args, int64_t from, int64_t to, int64_t first,
                                const stored *x, int64_t x_step_stride, int64_t x_row_stride,
                                int64_t columns, stored *panel, real *d_w)
{
    int64_t d_row_stride = args->gradient_count * args->H;
    for (int64_t start = 0; start < args->T * args->B; start += DEPTH) {
        int64_t left = args->T * args->B - start, depth = left < DEPTH ? left : DEPTH;
        const stored *d = args->d + start * d_row_stride + first;
        for (int64_t column = 0; column < columns; column += UNITS) {
            int64_t n = columns - column;
            for (int64_t k = 0; k < depth; k++) {
                int64_t t = (start + k) / args->B, b = (start + k) % args->B;
                const stored *row = x + t * x_step_stride + b * x_row_stride + column;
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
    }
}

/* d_w_ih += dᵀ x and d_w_hh += dᵀ h_{t-1} over all steps; each thread computes some of the rows. */
void add_to_weights(const SequenceArgs *args)
{
    int64_t H = args->H, rows = args->G * H, projection = (args->gradient_count - args->G) * H;
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        stored *panel = args->panels + i * DEPTH * UNITS;
        add_weight_products(args, from, to, projection, args->input, args->input_step_stride,
                            args->input_row_stride, args->I, panel, args->d_w_ih);
        add_weight_products(args, from, to, 0, args->h_before, args->B * H, H, H, panel,
                            args->d_w_hh);
    }
}
