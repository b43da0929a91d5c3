/* The gradients of the weights: one product for all steps of a block. */

#pragma once

#include "products.h"

/* Rows of x in a panel of add_weight_products. A panel of bfloat16 takes half of the memory. */
enum { PANEL_ROWS = GROUP > 1 ? 1024 : 256 };

/* Load min(n, LANES) elements of row b at step t from ``column`` on. */
typedef factors LoadElements(const SequenceArgs *, int64_t t, int64_t b, int64_t column, int64_t n);

INLINE factors load_x(const SequenceArgs *args, int64_t t, int64_t b, int64_t column, int64_t n)
{
    return load_factors(x_row(args, t, b) + column, n);
}

INLINE factors load_h(const SequenceArgs *args, int64_t t, int64_t b, int64_t column, int64_t n)
{
    return rounded(load(h_row(args, t, b) + column, n));
}

/* A row of the block: row b of step t, or the first row of the next step if there is none. */
typedef struct {
    int64_t t, b;
} Place;

/* Copy ``depth`` rows of x from a place on, the columns of one tile, into a panel. A group has the
 * same column of GROUP rows. Return the place after them. */
INLINE Place pack_steps(LoadElements load_elements, const SequenceArgs *args, Place place,
                        int64_t depth, int64_t column, int64_t n, stored *panel)
{
    int vectors = vectors_of(n);
    for (int64_t k = 0; k < depth; k += GROUP) {
        factors groups[VECTORS];
        for (int i = 0; i < GROUP && k + i < depth; i++, place.b++) {
            for (; place.b == rows_of_step(args, place.t); place.b = 0)
                place.t++;
            for (int v = 0; v < vectors; v++) {
                factors part = load_elements(args, place.t, place.b, column + v * LANES,
                                             n - v * LANES);
                groups[v] = i ? join(groups[v], part) : part;
            }
        }
        memcpy(panel + k * vectors * LANES, groups, vectors * BYTES);
    }
    return place;
}

/* d as the factors of a product over its rows. */
typedef struct {
    const stored *groups;
    int64_t row_stride;
} Rows;

/* ``depth`` rows of d from ``start`` on, n <= MAX_ROWS columns of each from ``first`` on.
 *
 * They are copied if groups of several rows must be made, or if the rows are so far from each other
 * that each is in a page of its own: those of the copy stay in the nearest cache. */
INLINE Rows rows_of_d(const SequenceArgs *args, int64_t start, int64_t depth, int64_t first,
                      int64_t n, stored *copy)
{
    int64_t stride = args->d_row_stride;
    const stored *d = args->d + start * stride + first;
    if (GROUP == 1 && stride * sizeof(stored) <= 4096)
        return (Rows){d, stride};
    for (int64_t k = 0; k < depth; k += GROUP)
        for (int64_t i = 0; i < n; i += LANES) {
            factors groups = load_factors(d + k * stride + i, n - i);
            if (GROUP > 1 && k + 1 < depth)
                groups = join(groups, load_factors(d + (k + 1) * stride + i, n - i));
            memcpy(copy + k * MAX_ROWS + i * GROUP, &groups, BYTES);
        }
    return (Rows){copy, MAX_ROWS};
}

/* Columns of x in whole vectors. */
INLINE int64_t whole(int64_t columns)
{
    return (columns + LANES - 1) / LANES * LANES;
}

/* d_w += dᵀ x, or d_w = dᵀ x unless it ``adds``, for the rows ``from`` to ``to`` of d_w, (G*H,
 * columns). load_elements loads x, (T, B, columns); the elements of a row of d are taken from
 * ``first`` on. PANEL_ROWS rows of x at a time are copied into panels. The sum of a panel begins at
 * zero: if each product were added to the sum of all rows before it, more of it would be rounded. */
INLINE void add_weight_products(const SequenceArgs *args, int64_t from, int64_t to, int64_t first,
                                LoadElements load_elements, int64_t columns, stored *panels,
                                real *d_w, int adds)
{
    int64_t total = first_row(args, args->T);
    stored *copy = panels + PANEL_ROWS * whole(columns);
    Place place = {0, 0}, next = place;
    for (int64_t start = 0; start < total; start += PANEL_ROWS, place = next) {
        int64_t depth = min(total - start, PANEL_ROWS);
        for (int64_t column = 0; column < columns; column += UNITS)
            next = pack_steps(load_elements, args, place, depth, column, columns - column,
                             panels + column * PANEL_ROWS);
        for (int64_t i = from; i < to; i += MAX_ROWS) {
            int rows = min(to - i, MAX_ROWS);
            Rows d = rows_of_d(args, start, depth, first + i, rows, copy);
            for (int64_t column = 0; column < columns; column += UNITS) {
                int64_t n = columns - column;
                Sums sums = {0};
                multiply(rows, vectors_of(n), d.groups, GROUP, d.row_stride, depth,
                         panels + column * PANEL_ROWS, sums);
                write_sums(d_w + i * columns + column, columns, rows, n, sums, adds || start);
            }
        }
    }
}

/* Elements of a thread's part of ``panels``: x in panels, (T, B, columns), and a copy of d. */
int64_t panel_elements(int64_t columns)
{
    return PANEL_ROWS * (whole(columns) + MAX_ROWS);
}

/* d_w_ih += dᵀ x and d_w_hh += dᵀ h_{t-1}, if it is not null, over all steps; each thread computes
 * some of the rows. */
void add_to_weights(const SequenceArgs *args)
{
    int64_t H = args->H, rows = args->G * H, projection = (args->gradient_count - args->G) * H;
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        stored *panels = args->panels + i * panel_elements(max(args->I, args->P));
        add_weight_products(args, from, to, projection, load_x, args->I, panels, args->d_w_ih, 1);
        if (args->d_w_hh)
            add_weight_products(args, from, to, 0, load_h, args->P, panels, args->d_w_hh, 1);
    }
}

/* The gradients of biases: add ``rows`` rows of d, of n <= UNITS columns, to their sums. */
INLINE void sum_columns(const stored *d, int64_t rows, int64_t row_stride, int64_t n, real *sums)
{
    vector total[VECTORS] = {0};
    for (int64_t start = 0; start < rows; start += DEPTH) {
        vector sum[VECTORS] = {0};
        for (int64_t row = start; row < min(rows, start + DEPTH); row++)
            UNROLLED (int v = 0; v < VECTORS; v++)
                sum[v] += widened(load_factors(d + row * row_stride + v * LANES, n - v * LANES));
        UNROLLED (int v = 0; v < VECTORS; v++)
            total[v] += sum[v];
    }
    for (int v = 0; v < VECTORS; v++) {
        real *to = sums + v * LANES;
        store(to, n - v * LANES, load(to, n - v * LANES) + total[v]);
    }
}

/* The same for ``count`` columns. */
void sum_rows(const stored *d, int64_t rows, int64_t row_stride, int64_t count, real *sums)
{
    int64_t i = 0;
    for (; i + UNITS <= count; i += UNITS)
        sum_columns(d + i, rows, row_stride, UNITS, sums + i);
    if (i < count)
        sum_columns(d + i, rows, row_stride, count - i, sums + i);
}
