/* Weights in panels (see products.h).
 *
 * The panel of the columns from c on begins at c * depth. The last panel may have fewer vectors;
 * the last vector is filled up with zeros. */

#pragma once

#include "products.h"

/* Pack n rows of w, (n, depth), n <= LANES, as one vector of a panel with ``vectors``. */
static void pack_transposed(const stored *w, int64_t n, int64_t depth, int vectors, stored *panel)
{
    for (int64_t start = 0; start < depth; start += LANES)
        for (int64_t lane = 0; lane < LANES; lane++)
            for (int64_t k = start; k < min(start + LANES, depth); k++)
                panel[k * vectors * LANES + lane] = lane < n ? w[lane * depth + k] : 0;
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
                            panels + unit * depth + v * LANES);
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
                            panels + unit * gates * depth + gate * LANES);
}

/* w, (depth, size), in panels. Its rows are taken from ``first`` on; the first rows follow the last
 * one. */
static void pack_rows(const stored *w, int64_t depth, int64_t size, int64_t first, stored *panels)
{
    _Pragma("omp for schedule(static) nowait")
    for (int64_t unit = 0; unit < size; unit += UNITS) {
        stored *to = panels + unit * depth;
        for (int64_t k = 0; k < depth; k++) {
            const stored *row = w + (first + k) % depth * size + unit;
            for (int v = 0; v < vectors_of(size - unit); v++, to += LANES)
                store(to, LANES, load(row + v * LANES, size - unit - v * LANES));
        }
    }
}
