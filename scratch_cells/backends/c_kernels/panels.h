/* Weights in panels (see products.h).
 *
 * The panel of the columns from c on begins at c * padded(depth). The last panel may have fewer vectors;
 * the last vector is filled up with zeros. */

#pragma once

#include "products.h"

/* Copy n < LANES rows of w, ``depth`` elements each, as one vector of a panel with ``vectors``. */
static void copy_transposed(const stored *w, int64_t row_stride, int64_t n, int64_t depth,
                            int vectors, stored *panel)
{
    for (int64_t lane = 0; lane < n; lane++)
        for (int64_t k = 0; k < depth; k++)
            panel[(k / GROUP * vectors * LANES + lane) * GROUP + k % GROUP]
                = w[lane * row_stride + k];
}

/* The same for LANES rows, of at most LANES groups. */
INLINE void copy_transposed_block(const stored *w, int64_t row_stride, int64_t depth, int vectors,
                                  stored *panel)
{
    vector a[LANES] = {0};
    UNROLLED_LANES (int lane = 0; lane < LANES; lane++)
        memcpy(&a[lane], w + lane * row_stride, depth * sizeof(stored));
    transpose(a);
    int64_t groups = (depth + GROUP - 1) / GROUP;
    UNROLLED_LANES (int i = 0; i < LANES; i++)
        if (i < groups)
            memcpy(panel + i * vectors * LANES * GROUP, &a[i], BYTES);
}

/* Pack the first LANES of the n rows of w, (n, depth), as one vector of a panel with ``vectors``. If
 * there are fewer rows, the other lanes are 0. */
static void pack_transposed(const stored *w, int64_t n, int64_t depth, int vectors, stored *panel)
{
    const int block = LANES * GROUP;
    n = min(n, LANES);
    if (n < LANES)
        for (int64_t k = 0; k < padded(depth); k += GROUP)
            memset(panel + k * vectors * LANES, 0, BYTES);
    for (int64_t k = 0; k < depth; k += block) {
        stored *to = panel + k * vectors * LANES;
        if (n < LANES)
            copy_transposed(w + k, depth, n, min(block, depth - k), vectors, to);
        else if (k + block <= depth)
            copy_transposed_block(w + k, depth, block, vectors, to);
        else
            copy_transposed_block(w + k, depth, depth - k, vectors, to);
    }
}

/* Wᵀ of w, (size, depth), in panels of ``size`` columns. */
static void pack_columns(const stored *w, int64_t size, int64_t depth, stored *panels)
{
    _Pragma("omp for schedule(static) nowait")
    for (int64_t unit = 0; unit < size; unit += UNITS) {
        int vectors = vectors_of(size - unit);
        for (int v = 0; v < vectors; v++) {
            int64_t row = unit + v * LANES;
            pack_transposed(w + row * depth, size - row, depth, vectors,
                            panels + unit * padded(depth) + v * LANES * GROUP);
        }
    }
}

/* Wᵀ of w, (gates, size, depth), in panels with the same units of every gate. */
static void pack_gates(const stored *w, int gates, int64_t size, int64_t depth, stored *panels)
{
    _Pragma("omp for schedule(static) nowait")
    for (int64_t unit = 0; unit < size; unit += LANES)
        for (int gate = 0; gate < gates; gate++)
            pack_transposed(w + (gate * size + unit) * depth, size - unit, depth, gates,
                            panels + unit * gates * padded(depth) + gate * LANES * GROUP);
}

/* w, (depth, size), in panels. Its rows are taken from ``first`` on; the first rows follow the last
 * one. */
static void pack_rows(const stored *w, int64_t depth, int64_t size, int64_t first, stored *panels)
{
    _Pragma("omp for schedule(static) nowait")
    for (int64_t unit = 0; unit < size; unit += UNITS) {
        stored *to = panels + unit * padded(depth);
        for (int64_t k = 0; k < depth; k += GROUP)
            for (int64_t column = unit; column < min(unit + UNITS, size); column += LANES) {
                int64_t row = (first + k) % depth, next = (first + k + 1) % depth;
                factors groups = load_factors(w + row * size + column, size - column);
                if (GROUP > 1 && k + 1 < depth)
                    groups = join(groups, load_factors(w + next * size + column, size - column));
                memcpy(to, &groups, BYTES);
                to += LANES * GROUP;
            }
    }
}
