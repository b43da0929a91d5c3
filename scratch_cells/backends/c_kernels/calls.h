/* A whole sequence in one call: everything that Python would otherwise do around the kernels, such
 * as the sums of the biases, the copies of states and the gradients of the biases. For short
 * sequences these small operations take longer than the arithmetic. c_call.py makes the calls, in
 * float and double only. */

#pragma once

#include "gru.h"
#include "lstm.h"
#include "rnn.h"
#include "weight_gradients.h"

/* The arguments of a call. Tensors are contiguous unless a stride, in elements, is given. */
typedef struct {
    int64_t T, B, I, H, reverse, threads;
    int64_t share_units;                    /* whether threads share units and not rows */
    int64_t projects_in_steps;              /* whether W_ih x is computed in each step, or before */
    const stored *w_ih, *w_hh;              /* (G*H, I), (G*H, H) */
    stored *w_ih_panels, *w_hh_panels;      /* for this pass; null to read w_ih and w_hh in place */
    const stored *input;                    /* (T, B, I) */
    int64_t input_step_stride, input_row_stride;
    /* The forward pass */
    const real *b_ih, *b_hh;                /* (G*H), or null */
    const real *h_0, *c_0;                  /* (B, H), or null for zeros */
    real *outputs;                          /* (T, B, H) */
    real *h_n, *c_n;                        /* (B, H) */
    real *saved;                            /* for the backward pass, or null: see use_buffers */
    real *biases;                           /* with ``saved``: (G*H + H), b and b_hn */
    /* The backward pass */
    const real *d_outputs;                  /* (T, B, H), or null */
    int64_t d_outputs_step_stride, d_outputs_row_stride;
    const real *d_h_n, *d_c_n;              /* (B, H), or null for zeros */
    real *d_input;                          /* (T, B, I), or null */
    real *d_h_0, *d_c_0;                    /* (B, H) */
    real *d_w_ih, *d_w_hh;                  /* (G*H, I), (G*H, H); both or neither may be null */
    real *d_b_ih, *d_b_hh;                  /* (G*H), or null */
} CallArgs;

/* What a cell stores for each unit and time step: see CellLayout in cell_kernel.py. */
typedef struct {
    int gate_count, resets_candidate, has_cell_state, gates_are_states, saves_extra;
} Layout;

typedef void Pass(const SequenceArgs *);

/* The arguments of the kernels, without the buffers of the states and gates. */
static SequenceArgs sequence_args(const CallArgs *call, Layout layout)
{
    return (SequenceArgs){
        .T = call->T, .B = call->B, .I = call->I, .H = call->H, .P = call->H,
        .G = layout.gate_count,
        .gradient_count = layout.gate_count + layout.resets_candidate,
        .reverse = call->reverse, .threads = call->threads, .share_units = call->share_units,
        .projects_in_steps = call->projects_in_steps, .first_infinite = __builtin_inf(),
        .w_ih = call->w_ih, .w_hh = call->w_hh,
        .w_ih_panels = call->w_ih_panels, .w_hh_panels = call->w_hh_panels,
        .input = call->input, .input_step_stride = call->input_step_stride,
        .input_row_stride = call->input_row_stride,
    };
}

/* What a backward pass needs follows one another in ``saved``: h, c, gates, extra. */
static void use_saved(SequenceArgs *args, const CallArgs *call, Layout layout)
{
    int64_t step = call->B * call->H, all = call->T * step, after = call->reverse ? 0 : step;
    real *h = call->saved, *c = h + all + step;
    real *gates = c + (layout.has_cell_state ? all + step : 0);
    args->needs_backward = 1;
    args->h_before = h + step - after;
    args->h_after = h + after;
    args->c_before = c + step - after;
    args->c_after = c + after;
    args->gates = layout.gates_are_states ? args->h_after : gates;
    args->extra = gates + (layout.gates_are_states ? 0 : all * layout.gate_count);
}

/* Copy n elements, or fill with zeros if ``from`` is null. */
INLINE void copy_or_zero(real *to, const real *from, int64_t n)
{
    if (from)
        memcpy(to, from, n * sizeof(real));
    else
        memset(to, 0, n * sizeof(real));
}

/* b_ih + b_hh; of the GRU's candidate only b_in, and b_hn after them. */
static void add_biases(const CallArgs *call, Layout layout, real *b)
{
    int64_t all = layout.gate_count * call->H;
    int64_t summed = layout.resets_candidate ? all - call->H : all;
    copy_or_zero(b, call->b_ih, all);
    for (int64_t i = 0; call->b_hh && i < summed; i++)
        b[i] += call->b_hh[i];
    if (layout.resets_candidate)
        copy_or_zero(b + all, call->b_hh ? call->b_hh + summed : NULL, call->H);
}

/* The forward pass of a sequence that is saved for a backward pass. */
INLINE void forward_and_save(const CallArgs *call, Layout layout, Pass forward, SequenceArgs args)
{
    int64_t step = call->B * call->H, last = (call->T - 1) * step;
    int64_t first = call->reverse ? last : 0, final = last - first;
    use_saved(&args, call, layout);
    copy_or_zero(args.h_before + first, call->h_0, step);
    if (layout.has_cell_state)
        copy_or_zero(args.c_before + first, call->c_0, step);
    forward(&args);
    memcpy(call->outputs, args.h_after, call->T * step * sizeof(real));
    memcpy(call->h_n, args.h_after + final, step * sizeof(real));
    if (layout.has_cell_state)
        memcpy(call->c_n, args.c_after + final, step * sizeof(real));
}

/* The forward pass of a sequence without a backward pass. The outputs are the only buffer of h, h_n
 * has h before the first step, and c_n is the only step of c. */
INLINE void forward_to_outputs(const CallArgs *call, Layout layout, Pass forward,
                               SequenceArgs args)
{
    int64_t step = call->B * call->H, final = call->reverse ? 0 : (call->T - 1) * step;
    args.h_first = call->h_n;
    args.h_before = call->reverse ? call->outputs + step : call->outputs - step;
    args.h_after = call->outputs;
    args.c_before = args.c_after = call->c_n;
    if (layout.gates_are_states)
        args.gates = call->outputs;
    copy_or_zero(call->h_n, call->h_0, step);
    if (layout.has_cell_state)
        copy_or_zero(call->c_n, call->c_0, step);
    forward(&args);
    memcpy(call->h_n, call->outputs + final, step * sizeof(real));
}

/* The forward pass of a sequence. Returns 0, or 1 if there is not enough memory. */
INLINE int forward_call(const CallArgs *call, Layout layout, Pass forward)
{
    int64_t biases = (layout.gate_count + 1) * call->H;
    int64_t gates = call->T * call->B * call->H * layout.gate_count;
    if (call->saved || call->projects_in_steps || layout.gates_are_states)
        gates = 0;                          /* they are saved, or not stored */
    real *scratch = __builtin_malloc((biases + gates) * sizeof(real));
    if (!scratch)
        return 1;
    SequenceArgs args = sequence_args(call, layout);
    real *b = call->saved ? call->biases : scratch;
    add_biases(call, layout, b);
    args.b = b;
    args.b_hn = b + layout.gate_count * call->H;
    args.gates = scratch + biases;
    if (call->saved)
        forward_and_save(call, layout, forward, args);
    else
        forward_to_outputs(call, layout, forward, args);
    __builtin_free(scratch);
    return 0;
}

/* The gradients of weights and biases. A row of d has the gradients of W_ih x from column ``first``
 * on. Those of W_hh h are in the same columns or, in a GRU, whose d has the columns m, r, z, n: the
 * first ``split`` rows of W_hh, r and z, are from ``first`` on, too, and the others, m, before. */
static void write_weight_gradients(const CallArgs *call, const SequenceArgs *args)
{
    int64_t H = args->H, rows = args->G * H, first = (args->gradient_count - args->G) * H;
    int64_t split = rows - first;
    memset(call->d_w_ih, 0, rows * args->I * sizeof(real));
    memset(call->d_w_hh, 0, rows * H * sizeof(real));
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        stored *panel = args->panels + i * panel_elements(max(args->I, H));
        add_weight_products(args, from, to, first, load_x, args->I, panel, call->d_w_ih);
        if (from < split)
            add_weight_products(args, from, min(to, split), first, load_h, H, panel, call->d_w_hh);
        if (to > split)
            add_weight_products(args, from < split ? split : from, to, -split, load_h, H, panel,
                                call->d_w_hh);
    }
    int64_t steps = args->T * args->B, columns = args->d_row_stride;
    const stored *d = args->d;
    if (call->d_b_ih)
        sum_rows(d + first, steps, columns, rows, call->d_b_ih);
    if (call->d_b_hh) {
        sum_rows(d + first, steps, columns, split, call->d_b_hh);
        sum_rows(d, steps, columns, rows - split, call->d_b_hh + split);
    }
}

/* The backward pass of a sequence. Returns 0, or 1 if there is not enough memory. */
INLINE int backward_call(const CallArgs *call, Layout layout, Pass backward)
{
    int64_t step = call->B * call->H;
    SequenceArgs args = sequence_args(call, layout);
    use_saved(&args, call, layout);
    int64_t d_elements = call->T * step * args.gradient_count;
    int64_t panels = call->threads * panel_elements(max(args.I, args.H));
    real *scratch = __builtin_malloc((d_elements + 2 * step + panels) * sizeof(real));
    if (!scratch)
        return 1;
    args.d = (stored *)scratch;
    args.d_row_stride = args.gradient_count * call->H;
    args.dh = call->d_h_0 ? call->d_h_0 : scratch + d_elements;
    args.dc = call->d_c_0 ? call->d_c_0 : scratch + d_elements + step;
    args.panels = (stored *)(scratch + d_elements + 2 * step);
    args.d_outputs = call->d_outputs;
    args.d_outputs_step_stride = call->d_outputs_step_stride;
    args.d_outputs_row_stride = call->d_outputs_row_stride;
    args.d_input = call->d_input;
    copy_or_zero(args.dh, call->d_h_n, step);
    if (layout.has_cell_state)
        copy_or_zero(args.dc, call->d_c_n, step);
    backward(&args);
    if (call->d_w_ih)
        write_weight_gradients(call, &args);
    __builtin_free(scratch);
    return 0;
}

#define CALLS(kind, ...)                                                                           \
    int kind##_forward_call(const CallArgs *call)                                                  \
    {                                                                                              \
        return forward_call(call, (Layout){__VA_ARGS__}, kind##_forward);                          \
    }                                                                                              \
    int kind##_backward_call(const CallArgs *call)                                                 \
    {                                                                                              \
        return backward_call(call, (Layout){__VA_ARGS__}, kind##_backward);                        \
    }

CALLS(rnn_tanh, .gate_count = 1, .gates_are_states = 1)
CALLS(rnn_relu, .gate_count = 1, .gates_are_states = 1)
CALLS(gru, .gate_count = 3, .resets_candidate = 1, .saves_extra = 1)
CALLS(lstm, .gate_count = 4, .has_cell_state = 1, .saves_extra = 1)
