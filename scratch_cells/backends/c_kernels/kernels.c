/* The C backend's kernels: forward and backward pass of a block of time steps. c_backend.py calls
 * them.
 *
 * Batch rows are independent, so each thread computes all steps for some of the rows, and no thread
 * waits for another; where that is slow, threads share the units instead (see threads.h). In each
 * step a kernel works on tiles of some rows and the units of a panel: it accumulates their matrix
 * products in registers, and computes gates and states there, before it writes them to memory.
 *
 * With packed sequences, a step has the rows of the sequences that are longer, and no padding is
 * computed or stored: see packed_rows.py and rows.h.
 *
 * The equations and letters are those of torch_backend.py. Also: T steps of the block, B batch
 * size, I input_size, H hidden_size, G number of gates. Compiled for float; with -DDOUBLE, for
 * double; with -DBFLOAT16, for float with products of bfloat16.
 *
 *     vectors.h             vectors, loads and stores
 *     factors.h             the factors of a product, and products of vectors
 *     activations.h         σ and tanh
 *     arguments.h           the arguments of a kernel
 *     rows.h                rows of a time step, and tiles
 *     threads.h             how threads share the work
 *     in_place.h            products with weights that are not packed
 *     products.h            matrix products
 *     panels.h              weights in panels
 *     weight_gradients.h    dW_ih and dW_hh
 *     passes.h              loops over time
 *     rnn.h gru.h lstm.h    the cells
 *     projection.h          the LSTM with a projection
 *     calls.h               a whole sequence in one call
 *
 * The headers hold all of the code, in one translation unit: the functions of the inner loops are
 * inlined for constant sizes.
 */

#include <stddef.h>

#include "calls.h"
#include "gru.h"
#include "lstm.h"
#include "panels.h"
#include "projection.h"
#include "rnn.h"
#include "weight_gradients.h"

/* For the panels, which c_backend.py packs and allocates. */
const int64_t lanes = LANES, group = GROUP;

/* Pack the weights for the forward pass, or for the backward pass. Each thread packs some panels. */
void pack_for_forward(const SequenceArgs *args)
{
    _Pragma("omp parallel num_threads(args->threads)")
    {
        int64_t G = args->G, H = args->H;
        if (G > 1 && args->projects_in_steps)
            pack_gates(args->w_ih, G, H, args->I, args->w_ih_panels);
        else
            pack_columns(args->w_ih, G * H, args->I, args->w_ih_panels);
        if (G == 1)
            pack_columns(args->w_hh, H, args->P, args->w_hh_panels);
        else
            pack_gates(args->w_hh, G, H, args->P, args->w_hh_panels);
        if (args->w_hr)
            pack_columns(args->w_hr, args->P, H, args->w_hr_panels);
    }
}

void pack_for_backward(const SequenceArgs *args)
{
    _Pragma("omp parallel num_threads(args->threads)")
    {
        int64_t H = args->H, depth = args->G * H;
        int64_t first = args->gradient_count > args->G ? 2 * H : 0;  /* m, r, z of r, z, m */
        pack_rows(args->w_ih, depth, args->I, 0, args->w_ih_panels);
        pack_rows(args->w_hh, depth, args->P, first, args->w_hh_panels);
        if (args->w_hr)
            pack_rows(args->w_hr, args->P, H, 0, args->w_hr_panels);
    }
}

/* The layout of SequenceArgs, which c_compiler.py compares with the structure in c_backend.py. */
typedef struct {
    const char *name;
    int64_t offset;                         /* in bytes */
} Field;

#define FIELD(name) {#name, offsetof(SequenceArgs, name)}
const Field sequence_args_fields[] = {
    FIELD(T), FIELD(B), FIELD(I), FIELD(H), FIELD(P), FIELD(G), FIELD(gradient_count),
    FIELD(reverse), FIELD(threads), FIELD(offsets), FIELD(needs_backward), FIELD(share_units),
    FIELD(projects_in_steps),
    FIELD(w_ih), FIELD(w_hh), FIELD(w_ih_panels), FIELD(w_hh_panels), FIELD(b), FIELD(b_hn),
    FIELD(input), FIELD(input_step_stride), FIELD(input_row_stride), FIELD(gates), FIELD(h_first),
    FIELD(h_before), FIELD(h_after), FIELD(extra), FIELD(h_factors), FIELD(first_infinite), FIELD(c_before),
    FIELD(c_after), FIELD(d), FIELD(d_row_stride), FIELD(d_outputs), FIELD(d_outputs_step_stride),
    FIELD(d_outputs_row_stride), FIELD(d_input), FIELD(dh), FIELD(dc), FIELD(d_w_ih), FIELD(d_w_hh),
    FIELD(panels), FIELD(returns_factors), FIELD(w_hr), FIELD(w_hr_panels), FIELD(u), FIELD(du), FIELD(d_h),
    {"", sizeof(SequenceArgs)},
};

/* The same of CallArgs. */
#define CALL_FIELD(name) {#name, offsetof(CallArgs, name)}
const Field call_args_fields[] = {
    CALL_FIELD(T), CALL_FIELD(B), CALL_FIELD(I), CALL_FIELD(H), CALL_FIELD(reverse),
    CALL_FIELD(threads), CALL_FIELD(share_units), CALL_FIELD(projects_in_steps),
    CALL_FIELD(block_steps),
    CALL_FIELD(returns_factors), CALL_FIELD(first_infinite), CALL_FIELD(w_ih), CALL_FIELD(w_hh),
    CALL_FIELD(w_ih_panels), CALL_FIELD(w_hh_panels), CALL_FIELD(input),
    CALL_FIELD(input_step_stride), CALL_FIELD(input_row_stride), CALL_FIELD(b_ih), CALL_FIELD(b_hh),
    CALL_FIELD(h_0), CALL_FIELD(c_0), CALL_FIELD(outputs), CALL_FIELD(h_n),
    CALL_FIELD(c_n), CALL_FIELD(saved), CALL_FIELD(biases), CALL_FIELD(d_outputs),
    CALL_FIELD(d_outputs_step_stride), CALL_FIELD(d_outputs_row_stride), CALL_FIELD(d_h_n),
    CALL_FIELD(d_c_n), CALL_FIELD(d_input), CALL_FIELD(d_h_0), CALL_FIELD(d_c_0),
    CALL_FIELD(d_w_ih), CALL_FIELD(d_w_hh), CALL_FIELD(d_b_ih), CALL_FIELD(d_b_hh),
    {"", sizeof(CallArgs)},
};
