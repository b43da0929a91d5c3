/* A whole sequence in one call: everything that Python would otherwise do around the kernels, such
 * as the sums of the biases, the copies of states and the gradients of the biases. For short
 * sequences these small operations take longer than the arithmetic. c_call.py makes the calls. */

#pragma once

#include "gru.h"
#include "lstm.h"
#include "rnn.h"
#include "weight_gradients.h"

/* The arguments of a call. Tensors are contiguous unless a stride, in elements, is given. */
typedef struct {
    int64_t T, B, I, H, reverse, threads;
    int64_t share_units;                    /* whether threads share units and not rows */
    int64_t projects_in_steps;              /* see arguments.h */
    int64_t block_steps;                    /* time steps in a block, whose gradients stay in the cache */
    int64_t returns_factors;                /* whether what is returned is of type stored, not real */
    double first_infinite;                  /* see arguments.h */
    const stored *w_ih, *w_hh;              /* (G*H, I), (G*H, H) */
    stored *w_ih_panels, *w_hh_panels;      /* for this pass; null to read w_ih and w_hh in place */
    const stored *input;                    /* (T, B, I) */
    int64_t input_step_stride, input_row_stride;
    /* The forward pass */
    const stored *b_ih, *b_hh;              /* (G*H), or null */
    const real *h_0, *c_0;                  /* (B, H), or null for zeros */
    void *outputs;                          /* (T, B, H) */
    void *h_n, *c_n;                        /* (B, H) */
    real *saved;                            /* for the backward pass, or null: see use_buffers */
    real *biases;                           /* with ``saved``: (G*H + H), b and b_hn */
    /* The backward pass */
    const void *d_outputs;                  /* (T, B, H), or null */
    int64_t d_outputs_step_stride, d_outputs_row_stride;
    const void *d_h_n, *d_c_n;              /* (B, H), or null for zeros */
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

/* The arguments of the kernels. The buffers follow one another in ``buffer``: h, c, gates, extra.
 * Without a backward pass, the gates of a block and one step of c are enough, and there are no extra
 * values. */
static SequenceArgs use_buffers(const CallArgs *call, Layout layout, int needs_backward,
                                real *buffer)
{
    int64_t step = call->B * call->H, after = call->reverse ? 0 : step;
    int64_t steps = needs_backward ? call->T : call->block_steps;   /* of the gates */
    real *h = buffer, *c = h + (call->T + 1) * step;
    int64_t c_steps = layout.has_cell_state ? (needs_backward ? call->T + 1 : 1) : 0;
    real *gates = c + c_steps * step;
    int64_t all_gates = layout.gates_are_states ? 0 : steps * step * layout.gate_count;
    return (SequenceArgs){
        .T = call->T, .B = call->B, .I = call->I, .H = call->H, .P = call->H,
        .G = layout.gate_count,
        .gradient_count = layout.gate_count + layout.resets_candidate,
        .reverse = call->reverse, .threads = call->threads, .needs_backward = needs_backward,
        .first_infinite = call->first_infinite, .returns_factors = call->returns_factors,
        .share_units = call->share_units, .projects_in_steps = call->projects_in_steps,
        .w_ih = call->w_ih, .w_hh = call->w_hh,
        .w_ih_panels = call->w_ih_panels, .w_hh_panels = call->w_hh_panels,
        .input = call->input, .input_step_stride = call->input_step_stride,
        .input_row_stride = call->input_row_stride,
        .gates = layout.gates_are_states ? h + after : gates, .extra = gates + all_gates,
        .h_before = h + step - after, .h_after = h + after,
        .c_before = needs_backward ? c + step - after : c,
        .c_after = needs_backward ? c + after : c,
    };
}

/* The arguments for block i of the forward pass: ``block_steps`` steps, or fewer in the last one.
 * Without a backward pass, all blocks use the same gates and the same step of c. */
static SequenceArgs block_of(SequenceArgs args, const CallArgs *call, Layout layout, int64_t i)
{
    int64_t done = i * call->block_steps, steps = min(call->block_steps, call->T - done);
    int64_t first = call->reverse ? call->T - done - steps : done, after = first * args.B * args.H;
    int64_t kept = args.needs_backward ? after : 0;
    args.T = steps;
    args.input += first * args.input_step_stride;
    args.gates += layout.gates_are_states ? after : kept * args.G;
    args.h_first = i ? NULL : args.h_first;
    args.h_before += after;
    args.h_after += after;
    args.extra += layout.saves_extra ? kept : 0;
    args.c_before += layout.has_cell_state ? kept : 0;
    args.c_after += layout.has_cell_state ? kept : 0;
    if (args.d_outputs)
        args.d_outputs = (const char *)args.d_outputs + first * args.d_outputs_step_stride
                         * (args.returns_factors ? sizeof(stored) : sizeof(real));
    if (args.d_input)
        args.d_input += first * args.B * args.I;
    return args;
}

/* Number of blocks of a sequence. */
INLINE int64_t block_count(const CallArgs *call)
{
    return (call->T + call->block_steps - 1) / call->block_steps;
}

/* Copy n elements, or fill with zeros if ``from`` is null. */
INLINE void copy_or_zero(real *to, const real *from, int64_t n)
{
    if (from)
        memcpy(to, from, n * sizeof(real));
    else
        memset(to, 0, n * sizeof(real));
}

/* Convert n elements of what is returned. */
INLINE void write_returned(const CallArgs *call, void *to, int64_t first, const real *from, int64_t n)
{
    if (!call->returns_factors) {
        memcpy((real *)to + first, from, n * sizeof(real));
        return;
    }
    for (int64_t i = 0; i < n; i += LANES)
        store_factors((stored *)to + first + i, n - i, load(from + i, n - i));
}

/* Copy n elements of the gradient of what was returned, or fill with zeros if ``from`` is null. */
INLINE void read_returned(const CallArgs *call, real *to, const void *from, int64_t n)
{
    if (!from || !call->returns_factors) {
        copy_or_zero(to, from, n);
        return;
    }
    for (int64_t i = 0; i < n; i += LANES)
        store(to + i, n - i, widened(load_factors((const stored *)from + i, n - i)));
}

/* to += from, for n elements of a bias; nothing if ``from`` is null. */
INLINE void add_bias(real *to, const stored *from, int64_t n)
{
    for (int64_t i = 0; from && i < n; i += LANES)
        store(to + i, n - i, load(to + i, n - i) + widened(load_factors(from + i, n - i)));
}

/* b_ih + b_hh; of the GRU's candidate only b_in, and b_hn after them. */
static void add_biases(const CallArgs *call, Layout layout, real *b)
{
    int64_t all = layout.gate_count * call->H;
    int64_t summed = layout.resets_candidate ? all - call->H : all;
    memset(b, 0, (all + call->H) * sizeof(real));
    add_bias(b, call->b_ih, all);
    add_bias(b, call->b_hh, summed);
    if (layout.resets_candidate && call->b_hh)
        add_bias(b + all, call->b_hh + summed, call->H);
}

/* Use what is returned in the place of buffers: the outputs for h, c_n for the only step of c. h_n
 * has h before the first step. */
static void use_returned(SequenceArgs *args, const CallArgs *call, Layout layout, real *gates)
{
    int64_t step = call->B * call->H;
    real *outputs = call->outputs;
    args->h_first = call->h_n;
    args->h_before = call->reverse ? outputs + step : outputs - step;
    args->h_after = outputs;
    args->c_before = args->c_after = call->c_n;
    args->gates = layout.gates_are_states ? outputs : gates;
}

/* Elements of the gates of a block, if no backward pass follows. */
static int64_t gates_of_block(const CallArgs *call, Layout layout)
{
    if (layout.gates_are_states || call->projects_in_steps)
        return 0;                           /* not stored */
    return call->block_steps * call->B * call->H * layout.gate_count;
}

/* The forward pass of a sequence. Returns 0, or 1 if there is not enough memory. */
INLINE int forward_call(const CallArgs *call, Layout layout, Pass forward)
{
    int converts = call->returns_factors && sizeof(stored) != sizeof(real);
    int direct = !call->saved && !converts;                 /* see use_returned */
    int64_t step = call->B * call->H, biases = (layout.gate_count + 1) * call->H;
    int64_t states = direct ? 0 : (call->T + 2) * step;
    int64_t reals = call->saved ? 0 : states + gates_of_block(call, layout) + biases;
    int64_t factors = GROUP > 1 ? 2 * step : 0;
    real *scratch = __builtin_malloc(reals * sizeof(real) + factors * sizeof(stored) + 1);
    if (!scratch)
        return 1;
    SequenceArgs args = use_buffers(call, layout, call->saved != NULL,
                                    call->saved ? call->saved : scratch);
    if (direct)
        use_returned(&args, call, layout, scratch);
    real *b = call->saved ? call->biases : scratch + reals - biases;
    add_biases(call, layout, b);
    args.b = b;
    args.b_hn = b + layout.gate_count * call->H;
    args.h_factors = (stored *)(scratch + reals);
    real *last_h = call->reverse ? args.h_after : args.h_after + (call->T - 1) * step;
    real *first_h = call->reverse ? args.h_before + (call->T - 1) * step : args.h_before;
    copy_or_zero(direct ? call->h_n : first_h, call->h_0, step);
    int64_t last = call->saved ? (call->T - 1) * step : 0;
    if (layout.has_cell_state)
        copy_or_zero(args.c_before + (call->reverse ? last : 0), call->c_0, step);
    for (int64_t i = 0; i < block_count(call); i++) {
        SequenceArgs block = block_of(args, call, layout, i);
        forward(&block);
    }
    write_returned(call, call->h_n, 0, last_h, step);
    if (!direct) {
        _Pragma("omp parallel for num_threads(call->threads) schedule(static)")
        for (int64_t t = 0; t < call->T; t++)
            write_returned(call, call->outputs, t * step, args.h_after + t * step, step);
        if (layout.has_cell_state)
            write_returned(call, call->c_n, 0, args.c_after + (call->reverse ? 0 : last), step);
    }
    __builtin_free(scratch);
    return 0;
}

/* Write the gradients of the weights for the steps of a block, or add them to those of the blocks
 * before, and add the sums of the columns of d.
 *
 * A row of d has the gradients of W_ih x from column ``first`` on. Those of W_hh h are in the same
 * columns or, in a GRU, whose d has the columns m, r, z, n: the first ``split`` rows of W_hh, r and
 * z, are from ``first`` on, too, and the others, m, before. */
static void add_weight_gradients(const CallArgs *call, const SequenceArgs *args, real *sums,
                                 int adds)
{
    int64_t H = args->H, rows = args->G * H, first = (args->gradient_count - args->G) * H;
    int64_t split = rows - first, columns = args->d_row_stride;
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        stored *panel = args->panels + i * panel_elements(max(args->I, H));
        add_weight_products(args, from, to, first, load_x, args->I, panel, call->d_w_ih,
                            adds);
        if (from < split)
            add_weight_products(args, from, min(to, split), first, load_h, H, panel, call->d_w_hh,
                                adds);
        if (to > split)
            add_weight_products(args, from < split ? split : from, to, -split, load_h, H, panel,
                                call->d_w_hh, adds);
        from = columns * i / args->threads, to = columns * (i + 1) / args->threads;
        sum_rows(args->d + from, args->T * args->B, columns, to - from, sums + from);
    }
}

/* The gradients of the biases from the sums of the columns of d. */
static void write_bias_gradients(const CallArgs *call, const SequenceArgs *args, const real *sums)
{
    int64_t rows = args->G * args->H, first = args->d_row_stride - rows, split = rows - first;
    if (call->d_b_ih)
        memcpy(call->d_b_ih, sums + first, rows * sizeof(real));
    if (call->d_b_hh) {
        memcpy(call->d_b_hh, sums + first, split * sizeof(real));
        memcpy(call->d_b_hh + split, sums, first * sizeof(real));
    }
}

/* The backward pass of a sequence, in blocks of steps whose gradients stay in the cache. Returns 0,
 * or 1 if there is not enough memory. */
INLINE int backward_call(const CallArgs *call, Layout layout, Pass backward)
{
    int64_t step = call->B * call->H;
    SequenceArgs args = use_buffers(call, layout, 1, call->saved);
    int64_t columns = args.d_row_stride = args.gradient_count * call->H;
    int64_t panels = call->threads * panel_elements(max(args.I, args.H));
    int64_t factors = call->block_steps * call->B * columns + panels;
    real *scratch = __builtin_malloc((2 * step + columns) * sizeof(real)
                                     + factors * sizeof(stored));
    if (!scratch)
        return 1;
    args.dh = call->d_h_0 ? call->d_h_0 : scratch;
    args.dc = call->d_c_0 ? call->d_c_0 : scratch + step;
    real *sums = scratch + 2 * step;
    args.panels = (stored *)(sums + columns);
    args.d = args.panels + panels;
    args.d_outputs = call->d_outputs;
    args.d_outputs_step_stride = call->d_outputs_step_stride;
    args.d_outputs_row_stride = call->d_outputs_row_stride;
    args.d_input = call->d_input;
    read_returned(call, args.dh, call->d_h_n, step);
    if (layout.has_cell_state)
        read_returned(call, args.dc, call->d_c_n, step);
    if (call->d_w_ih) {
        memset(sums, 0, columns * sizeof(real));
        if (!step) {                        /* no rows: no block writes them */
            memset(call->d_w_ih, 0, args.G * args.H * args.I * sizeof(real));
            memset(call->d_w_hh, 0, args.G * args.H * args.H * sizeof(real));
        }
    }
    int64_t last = block_count(call) - 1;
    for (int64_t i = last; i >= 0; i--) {
        SequenceArgs block = block_of(args, call, layout, i);
        backward(&block);
        if (call->d_w_ih)
            add_weight_gradients(call, &block, sums, i < last);
    }
    if (call->d_w_ih)
        write_bias_gradients(call, &args, sums);
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
