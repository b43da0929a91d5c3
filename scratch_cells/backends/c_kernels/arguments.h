/* The arguments of every kernel. */

#pragma once

#include "factors.h"

/* The arguments of every kernel. The buffers are those of Block and CellKernel.backward in
 * cell_kernel.py. They are contiguous unless a stride, in elements, is given. */
typedef struct {
    int64_t T, B, I, H, P, G, gradient_count, reverse, threads;
    const int64_t *offsets;                 /* of packed sequences, from -1 to T (see first_row) */
    int64_t needs_backward;                 /* whether a backward pass may follow */
    int64_t share_units;                    /* whether threads share units and not rows */
    int64_t projects_in_steps;              /* whether W_ih x is computed in each step, or before */
    const stored *w_ih, *w_hh;              /* (G*H, I), (G*H, P) */
    stored *w_ih_panels, *w_hh_panels;      /* see panels.h; null to read w_* in place */
    const real *b, *b_hn;                   /* (G*H); the GRU's (H) */
    const stored *input;                    /* (T, B, I) */
    int64_t input_step_stride, input_row_stride;
    real *gates;                            /* (T, B, G*H) */
    const real *h_first;                    /* (B, P), h before the first step; or null: see h_row */
    real *h_before, *h_after;               /* (T, B, P) */
    real *extra;                            /* (T, B, H) */
    stored *h_factors;                      /* (2, B, P), with BFLOAT16 */
    double first_infinite;                  /* the lowest infinite h; float16 has less than float */
    real *c_before, *c_after;               /* (T, B, H); (B, H) if no backward pass follows */
    stored *d;                              /* (T, B, gradient_count*H) */
    int64_t d_row_stride;
    const void *d_outputs;                  /* (T, B, P), or null; of real or of stored */
    int64_t returns_factors;                /* whether d_outputs is of type stored */
    int64_t d_outputs_step_stride, d_outputs_row_stride;
    real *d_input;                          /* (T, B, I), or null */
    real *dh, *dc;                          /* (B, P), (B, H) */
    real *d_w_ih, *d_w_hh;                  /* (G*H, I), (G*H, P) */
    stored *panels;                         /* (threads, panel_elements), for add_to_weights */

    /* With a projection (see projection.h); without it, P is H. */
    const stored *w_hr;                     /* (P, H) */
    stored *w_hr_panels;
    stored *u;                              /* (B, H); in the backward pass (T, B, H) */
    real *du;                               /* (B, H) */
    stored *d_h;                            /* (T, B, P) */
} SequenceArgs;
