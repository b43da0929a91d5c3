/* The C backend's kernels: forward and backward pass of a block of time steps. c_backend.py calls
 * them.
 *
 * Batch rows are independent, so each thread computes all steps for some of the rows, and no thread
 * waits for another. In each step a kernel works on tiles of a few rows and a few units: it
 * accumulates their part of both matrix products in registers, and computes gates and states there,
 * before it writes anything to memory.
 *
 * The rows of packed sequences are those of PackedRows in packed_rows.py: a step has the rows of the
 * sequences that are not finished, so no padding is computed or stored.
 *
 * The equations and letters are those of torch_backend.py. Also: T steps of the block, B batch
 * size, I input_size, H hidden_size, G number of gates. Compiled for float and, with -DDOUBLE, for
 * double.
 *
 * Vectors are GCC's vector extension: operators work on each lane, a cast between two vector types
 * keeps the bits, and a comparison gives a lane of ones where it is true and of zeros elsewhere.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t integer;
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023, MAX_EXPONENT = 708 };
#define LN2_HIGH 0x1.62e42feep-1    /* few bits, so that n * LN2_HIGH is exact */
#define LN2_LOW 0x1.a39ef35793c76p-33
#else
typedef float real;
typedef int32_t integer;
enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127, MAX_EXPONENT = 87 };
#define LN2_HIGH 0x1.62ep-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#endif

/* Register blocking: a tile accumulates ROWS x VECTORS vectors. A processor has 32 vector registers
 * with AVX-512, and 16 without. */
#ifdef __AVX512F__
enum { BYTES = 64, ROWS = 6, VECTORS = 4 };
#else
enum { BYTES = 32, ROWS = 3, VECTORS = 4 };
#endif
enum { LANES = BYTES / sizeof(real) };
typedef real vector __attribute__((vector_size(BYTES)));
typedef integer integers __attribute__((vector_size(BYTES)));
typedef vector Sums[ROWS][VECTORS];

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 8") for

/* The arguments of every kernel. The buffers are those of Block and CellKernel.backward in
 * cell_kernel.py. They are contiguous unless a stride, in elements, is given. */
typedef struct {
    int64_t T, B, I, H, G, gradient_count, reverse, threads;
    const int64_t *offsets;                 /* of packed sequences, from -1 to T (see first_row) */
    int64_t needs_backward;                 /* whether a backward pass may follow */
    const real *w_ih, *w_hh;                /* in panels (see multiply_rows) */
    const real *b, *b_hn;                   /* (G*H); the GRU's (H) */
    const real *input;                      /* (T, B, I) */
    int64_t input_step_stride, input_row_stride;
    real *gates;                            /* (T, B, G*H) */
    real *h_before, *h_after, *extra;       /* (T, B, H) */
    real *c_before, *c_after;               /* (T, B, H); (B, H) if no backward pass follows */
    real *d;                                /* (T, B, gradient_count*H) */
    const real *d_outputs;                  /* (T, B, H), or null */
    int64_t d_outputs_step_stride, d_outputs_row_stride;
    real *d_input;                          /* (T, B, I), or null */
    real *dh, *dc;                          /* (B, H) */
    real *d_w_ih, *d_w_hh;                  /* (G*H, I), (G*H, H) */
    real *panels;                           /* (threads, DEPTH * UNITS), for add_to_weights */
} SequenceArgs;

/* A panel of add_weight_products: DEPTH rows, and the units of one tile. It is too large for the
 * stack of a thread, which may have 64 KiB. */
enum { DEPTH = 256, UNITS = VECTORS * LANES };


/* ---- vectors --------------------------------------------------------------------------------*/

/* Load min(n, LANES) elements; the other lanes are 0. */
INLINE vector load(const real *from, int64_t n)
{
    vector x = {0};
    if (n >= LANES)
        memcpy(&x, from, BYTES);
    else if (n > 0)
        memcpy(&x, from, n * sizeof(real));
    return x;
}

/* Store min(n, LANES) elements. */
INLINE void store(real *to, int64_t n, vector x)
{
    if (n >= LANES)
        memcpy(to, &x, BYTES);
    else if (n > 0)
        memcpy(to, &x, n * sizeof(real));
}

INLINE int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

INLINE int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* x in every lane. */
INLINE vector broadcast(real x)
{
    return x - (vector){0};
}

/* a where the mask is ones, b where it is zeros. */
INLINE vector select(integers where, vector a, vector b)
{
    return (vector)((where & (integers)a) | (~where & (integers)b));
}


/* ---- σ and tanh -----------------------------------------------------------------------------*/

/* exp(2x) = power (q + p) / (q - p), without the division, so that σ and tanh divide only once. */
typedef struct {
    vector power, p, q;
} Exponential;

/* 2x = n ln 2 + 2y with |2y| <= ln 2 / 2, the power is 2^n, and p / q = tanh y, for exp(2y) =
 * (1 + tanh y) / (1 - tanh y). tanh y is Lambert's continued fraction
 * y / (1 + y²/(3 + y²/(5 + ...))) up to the 13 (J. H. Lambert, 1768). Its relative error is below
 * 1e-19. */
INLINE Exponential exp_of_twice(vector x)
{
    /* exp(87) is finite in float, exp(89) is not */
    vector limit = broadcast(MAX_EXPONENT / (real)2);
    x = select(x > limit, limit, x);
    x = select(x < -limit, -limit, x);

    /* Magic constant: adding it rounds to the nearest integer. */
    vector rounder = broadcast(3LL << (MANTISSA_BITS - 1));
    vector rounded = x * (real)2.885390081777926814 + rounder;
    vector n = rounded - rounder;
    vector y = x - n * (LN2_HIGH / 2) - n * (LN2_LOW / 2);
    integers exponent = (integers)rounded - (integers)rounder + EXPONENT_BIAS;
    vector power = (vector)(exponent << MANTISSA_BITS);

    vector y2 = y * y;
    vector p = 1 + y2 * ((real)(5. / 39) + y2 * ((real)(2. / 715) + y2 * (real)(1. / 135135)));
    vector q = 1 + y2 * ((real)(6. / 13) + y2 * ((real)(10. / 429) + y2 * (real)(4. / 19305)));
    return (Exponential){power, y * p, q};
}

/* exp(x) / (exp(x) + 1) */
INLINE vector sigmoid(vector x)
{
    Exponential e = exp_of_twice(x / 2);
    vector above = e.power * (e.q + e.p);
    return above / (above + e.q - e.p);
}

/* (exp(2x) - 1) / (exp(2x) + 1). Near zero, where the power is 1, this form is p / q, which is as
 * accurate as x for every small x. */
INLINE vector tanh_of(vector x)
{
    Exponential e = exp_of_twice(x);
    vector less = e.power - 1, more = e.power + 1;
    return (less * e.q + more * e.p) / (more * e.q + less * e.p);
}


/* ---- rows -----------------------------------------------------------------------------------*/

/* The buffers are described as (T, B, ...), the layout of a batch, which has B rows in every step.
 * With packed sequences step t has fewer rows, the first of them at offsets[t]. */

/* The first row of step t, relative to the first step, and the number of rows of all steps for
 * t = T. */
INLINE int64_t first_row(const SequenceArgs *args, int64_t t)
{
    return args->offsets ? args->offsets[t] - args->offsets[0] : t * args->B;
}

/* Rows of step t. */
INLINE int64_t rows_of_step(const SequenceArgs *args, int64_t t)
{
    return args->offsets ? args->offsets[t + 1] - args->offsets[t] : args->B;
}

/* The first row of step t - 1, relative to that of the step before the first one. */
INLINE int64_t earlier_row(const SequenceArgs *args, int64_t t)
{
    return args->offsets ? args->offsets[t - 1] - args->offsets[-1] : t * args->B;
}

/* The first row of step t in h_before and c_before. In the order of the sequence, the state before
 * a step is in the rows of step t - 1; in reverse, the state after it is. */
INLINE int64_t row_before(const SequenceArgs *args, int64_t t)
{
    return args->reverse ? first_row(args, t) : earlier_row(args, t);
}

/* The first row of step t in h_after and c_after. */
INLINE int64_t row_after(const SequenceArgs *args, int64_t t)
{
    return args->reverse ? earlier_row(args, t) : first_row(args, t);
}

/* Row b of x at step t. */
INLINE const real *x_row(const SequenceArgs *args, int64_t t, int64_t b)
{
    int64_t row = args->offsets ? first_row(args, t) + b : b;
    int64_t step = args->offsets ? 0 : t * args->input_step_stride;
    return args->input + step + row * args->input_row_stride;
}

/* Row b of h before step t. */
INLINE const real *h_row(const SequenceArgs *args, int64_t t, int64_t b)
{
    return args->h_before + (row_before(args, t) + b) * args->H;
}

/* The first row of thread i. Each thread gets rows with about the same number of steps in total;
 * packed sequences are sorted, the longest first. */
static int64_t first_row_of_thread(const SequenceArgs *args, int64_t i)
{
    if (!args->offsets)
        return args->B * i / args->threads;
    int64_t share = first_row(args, args->T) * i / args->threads;
    int64_t row = 0, steps = 0, length = args->T;
    for (; row < args->B && steps < share; row++) {
        while (length > 0 && rows_of_step(args, length - 1) <= row)
            length--;
        steps += length;
    }
    return i == args->threads ? args->B : row;
}


/* ---- tiles ----------------------------------------------------------------------------------*/

/* Tile coordinates: time step, first batch row, first unit, number of units. */
typedef struct {
    int64_t t, row, unit, n;
} Tile;

/* A tile of at most max_units units, fewer at the end of ``size`` units. */
INLINE Tile make_tile(int64_t t, int64_t row, int64_t unit, int64_t max_units, int64_t size)
{
    return (Tile){t, row, unit, size - unit < max_units ? size - unit : max_units};
}

/* Pointer to row r of the tile in a buffer (T, B, count*H). */
INLINE real *element_ptr(real *buffer, const SequenceArgs *args, Tile tile, int r, int count)
{
    return buffer + (first_row(args, tile.t) + tile.row + r) * count * args->H + tile.unit;
}

/* Pointer to row r of the tile in h_before. */
INLINE real *before_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return args->h_before + (row_before(args, tile.t) + tile.row + r) * args->H + tile.unit;
}

/* Pointer to row r of the tile in h_after. */
INLINE real *after_ptr(const SequenceArgs *args, Tile tile, int r)
{
    return args->h_after + (row_after(args, tile.t) + tile.row + r) * args->H + tile.unit;
}

/* Pointer to row r of the tile in a buffer (B, H). */
INLINE real *row_ptr(real *buffer, const SequenceArgs *args, Tile tile, int r)
{
    return buffer + (tile.row + r) * args->H + tile.unit;
}


/* ---- products -------------------------------------------------------------------------------*/

/* sums += x W for a few rows of x, of ``depth`` elements each with stride ``element_stride``.
 *
 * A panel holds some columns of W: for each element of the depth, the vectors of one row of sums.
 * Each loaded vector is reused for all rows. ``rows`` and ``vectors`` are compile-time constants,
 * so that the compiler keeps the sums in registers. */
INLINE void multiply_rows(const int rows, const int vectors, const real *x, int64_t x_row_stride,
                          int64_t element_stride, int64_t depth, const real *panel, Sums sums)
{
    Sums a;
    memcpy(a, sums, sizeof(Sums));
    for (int64_t k = 0; k < depth; k++, panel += vectors * LANES) {
        vector w[VECTORS];
        UNROLLED (int v = 0; v < vectors; v++)
            w[v] = load(panel + v * LANES, LANES);
        UNROLLED (int r = 0; r < rows; r++)
            UNROLLED (int v = 0; v < vectors; v++)
                a[r][v] += x[r * x_row_stride + k * element_stride] * w[v];
    }
    memcpy(sums, a, sizeof(Sums));
}

/* The same with a number of rows that is known only at run time. */
INLINE void multiply(int rows, const int vectors, const real *x, int64_t x_row_stride,
                     int64_t element_stride, int64_t depth, const real *panel, Sums sums)
{
#define MULTIPLY_ROWS(n)                                                                           \
    multiply_rows(n, vectors, x, x_row_stride, element_stride, depth, panel, sums)
    switch (rows) {
        case 1: MULTIPLY_ROWS(1); break;
        case 2: MULTIPLY_ROWS(2); break;
        case 3: MULTIPLY_ROWS(3); break;
#ifdef __AVX512F__
        case 4: MULTIPLY_ROWS(4); break;
        case 5: MULTIPLY_ROWS(5); break;
        case 6: MULTIPLY_ROWS(6); break;
#endif
    }
}

/* Load n elements of each of a few rows with stride ``row_stride``. */
INLINE void load_sums(Sums sums, const real *from, int64_t row_stride, int rows, int64_t n)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = load(from + r * row_stride + v * LANES, n - v * LANES);
}

INLINE void store_sums(real *to, int64_t row_stride, int rows, int64_t n, Sums sums)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            store(to + r * row_stride + v * LANES, n - v * LANES, sums[r][v]);
}

/* The biases of every gate, for a few rows. */
INLINE void load_biases(const SequenceArgs *args, Tile tile, int rows, int gates, Sums sums)
{
    for (int r = 0; r < rows; r++)
        for (int gate = 0; gate < gates; gate++)
            sums[r][gate] = load(args->b + gate * args->H + tile.unit, tile.n);
}

/* sums += x_t W_ihᵀ, the units of the tile for every gate. */
INLINE void multiply_x(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    const real *x = x_row(args, tile.t, tile.row);
    const real *panel = args->w_ih + tile.unit * args->G * args->I;
    multiply(rows, vectors, x, args->input_row_stride, 1, args->I, panel, sums);
}

/* sums += h_{t-1} W_hhᵀ, the units of the tile for every gate. */
INLINE void multiply_h(const SequenceArgs *args, Tile tile, int rows, const int vectors, Sums sums)
{
    const real *h = h_row(args, tile.t, tile.row);
    const real *panel = args->w_hh + tile.unit * args->G * args->H;
    multiply(rows, vectors, h, args->H, 1, args->H, panel, sums);
}

/* sums += d W for the units of the tile, with G*H elements of each row of d, from ``first`` on. */
INLINE void multiply_d(const SequenceArgs *args, Tile tile, int rows, int64_t first, const real *w,
                       Sums sums)
{
    int64_t d_row_stride = args->gradient_count * args->H, depth = args->G * args->H;
    const real *d = args->d + (first_row(args, tile.t) + tile.row) * d_row_stride + first;
    multiply(rows, VECTORS, d, d_row_stride, 1, depth, w + tile.unit * depth, sums);
}

/* dh += d W_hh */
static void add_to_dh(const SequenceArgs *args, Tile tile, int rows)
{
    Sums dh;
    load_sums(dh, row_ptr(args->dh, args, tile, 0), args->H, rows, tile.n);
    multiply_d(args, tile, rows, 0, args->w_hh, dh);
    store_sums(row_ptr(args->dh, args, tile, 0), args->H, rows, tile.n, dh);
}

/* dx = d W_ih */
static void write_d_input(const SequenceArgs *args, Tile tile, int rows)
{
    Sums dx = {0};
    multiply_d(args, tile, rows, (args->gradient_count - args->G) * args->H, args->w_ih, dx);
    real *d_input = args->d_input + (first_row(args, tile.t) + tile.row) * args->I + tile.unit;
    store_sums(d_input, args->I, rows, tile.n, dx);
}

/* Pointer to row b of an operand of a product at step t: x_row or h_row. */
typedef const real *RowOf(const SequenceArgs *, int64_t t, int64_t b);

/* d_w += dᵀ x for the rows ``from`` to ``to`` of d_w, (G*H, columns). x_row gives the rows of x,
 * (T, B, columns); the elements of a row of d are taken from ``first`` on. DEPTH rows of x at a time
 * are copied into a panel, so that they stay in the nearest caches. */
INLINE void add_weight_products(const SequenceArgs *args, int64_t from, int64_t to, int64_t first,
                                RowOf x_row, int64_t columns, real *panel, real *d_w)
{
    int64_t d_row_stride = args->gradient_count * args->H, total = first_row(args, args->T);
    int64_t t = 0, b = 0;
    for (int64_t start = 0; start < total; start += DEPTH) {
        int64_t depth = total - start < DEPTH ? total - start : DEPTH;
        const real *d = args->d + start * d_row_stride + first;
        int64_t next_t = t, next_b = b;
        for (int64_t column = 0; column < columns; column += UNITS) {
            int64_t n = columns - column;
            next_t = t, next_b = b;
            for (int64_t k = 0; k < depth; k++, next_b++) {
                for (; next_b == rows_of_step(args, next_t); next_b = 0)
                    next_t++;
                const real *row = x_row(args, next_t, next_b) + column;
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

/* d_w_ih += dᵀ x and d_w_hh += dᵀ h_{t-1} over all steps; each thread computes some of the rows. */
void add_to_weights(const SequenceArgs *args)
{
    int64_t H = args->H, rows = args->G * H, projection = (args->gradient_count - args->G) * H;
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")
    for (int64_t i = 0; i < args->threads; i++) {
        int64_t from = rows * i / args->threads, to = rows * (i + 1) / args->threads;
        real *panel = args->panels + i * DEPTH * UNITS;
        add_weight_products(args, from, to, projection, x_row, args->I, panel, args->d_w_ih);
        add_weight_products(args, from, to, 0, h_row, H, panel, args->d_w_hh);
    }
}


/* ---- loops over time ------------------------------------------------------------------------*/

/* Computes a tile: at most ROWS rows, and the units of one panel. */
typedef void TileKernel(const SequenceArgs *, Tile, int rows);

/* Computes one row, and the units of one vector. */
typedef void RowKernel(const SequenceArgs *, Tile);

/* Call the kernel for rows ``from`` to ``to``, split evenly into tiles of at most ROWS rows, and
 * for all ``size`` units, in tiles of ``max_units``. */
INLINE void for_each_tile(TileKernel kernel, const SequenceArgs *args, int64_t t, int64_t from,
                          int64_t to, int max_units, int64_t size)
{
    int64_t tiles = (max(to - from, 0) + ROWS - 1) / ROWS;
    for (int64_t unit = 0; unit < size; unit += max_units)
        for (int64_t i = 0; i < tiles; i++) {
            int64_t row = from + (to - from) * i / tiles;
            int64_t end = from + (to - from) * (i + 1) / tiles;
            kernel(args, make_tile(t, row, unit, max_units, size), end - row);
        }
}

/* The forward pass of rows ``from`` to ``to``, all steps; a panel has ``max_units`` units. */
INLINE void forward_pass(TileKernel kernel, const SequenceArgs *args, int64_t from, int64_t to,
                         int max_units)
{
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = args->reverse ? args->T - 1 - step : step;
        for_each_tile(kernel, args, t, from, min(to, rows_of_step(args, t)), max_units, args->H);
    }
}

/* The backward pass of the same rows. In each step, the row kernel stores the gate gradients in d
 * and the direct contribution to dh_{t-1} in dh; then the matrix products of d are added. */
INLINE void backward_pass(RowKernel kernel, const SequenceArgs *args, int64_t from, int64_t to)
{
    for (int64_t step = 0; step < args->T; step++) {
        int64_t t = args->reverse ? step : args->T - 1 - step;
        int64_t end = min(to, rows_of_step(args, t));
        for (int64_t row = from; row < end; row++)
            for (int64_t unit = 0; unit < args->H; unit += LANES)
                kernel(args, make_tile(t, row, unit, LANES, args->H));
        for_each_tile(add_to_dh, args, t, from, end, VECTORS * LANES, args->H);
        if (args->d_input)
            for_each_tile(write_d_input, args, t, from, end, VECTORS * LANES, args->I);
    }
}

/* Each thread runs ``pass`` for its own rows, ``from`` to ``to``. */
#define FOR_EACH_THREAD(pass)                                                                      \
    _Pragma("omp parallel for num_threads(args->threads) schedule(static)")                        \
    for (int64_t i = 0; i < args->threads; i++) {                                                  \
        int64_t from = first_row_of_thread(args, i), to = first_row_of_thread(args, i + 1);        \
        pass;                                                                                      \
    }

/* dh plus the gradient of the output of this step. */
INLINE vector load_dh(const SequenceArgs *args, Tile tile)
{
    vector dh = load(row_ptr(args->dh, args, tile, 0), tile.n);
    if (!args->d_outputs)
        return dh;
    int64_t row = args->offsets ? first_row(args, tile.t) + tile.row : tile.row;
    int64_t step = args->offsets ? 0 : tile.t * args->d_outputs_step_stride;
    return dh + load(args->d_outputs + step + row * args->d_outputs_row_stride + tile.unit,
                     tile.n);
}


/* ---- the RNN --------------------------------------------------------------------------------*/

/* h = tanh(W_ih x + W_hh h + b); with relu, max(0, ...). */
INLINE void rnn_forward_tile(const SequenceArgs *args, Tile tile, int rows, int relu)
{
    Sums a;
    load_sums(a, args->b + tile.unit, 0, rows, tile.n);
    multiply_x(args, tile, rows, VECTORS, a);
    multiply_h(args, tile, rows, VECTORS, a);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            a[r][v] = relu ? select(a[r][v] < 0, broadcast(0), a[r][v]) : tanh_of(a[r][v]);
    store_sums(after_ptr(args, tile, 0), args->H, rows, tile.n, a);
}

/* da = (1 - h²) ⊙ dh; with relu, dh where h > 0, else 0. */
INLINE void rnn_backward_row(const SequenceArgs *args, Tile tile, int relu)
{
    vector h = load(after_ptr(args, tile, 0), tile.n);
    vector dh = load_dh(args, tile);
    vector da = relu ? select(h > 0, dh, broadcast(0)) : (1 - h * h) * dh;
    store(element_ptr(args->d, args, tile, 0, 1), tile.n, da);
    store(row_ptr(args->dh, args, tile, 0), tile.n, broadcast(0));
}

INLINE void rnn_tanh_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    rnn_forward_tile(args, tile, rows, 0);
}

INLINE void rnn_tanh_backward_row(const SequenceArgs *args, Tile tile)
{
    rnn_backward_row(args, tile, 0);
}

INLINE void rnn_relu_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    rnn_forward_tile(args, tile, rows, 1);
}

INLINE void rnn_relu_backward_row(const SequenceArgs *args, Tile tile)
{
    rnn_backward_row(args, tile, 1);
}

void rnn_tanh_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(rnn_tanh_forward_tile, args, from, to, VECTORS * LANES))
}

void rnn_tanh_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(rnn_tanh_backward_row, args, from, to))
}

void rnn_relu_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(rnn_relu_forward_tile, args, from, to, VECTORS * LANES))
}

void rnn_relu_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(rnn_relu_backward_row, args, from, to))
}


/* ---- the GRU --------------------------------------------------------------------------------*/

/* m = W_hn h + b_hn, r = σ(W_ir x + W_hr h + b_r), z = σ(W_iz x + W_hz h + b_z),
 * n = tanh(W_in x + b_in + r ⊙ m), h = n + z ⊙ (h - n). b_r and b_z are the sums of both biases. */
INLINE void gru_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    int64_t H = args->H;
    Sums sums;
    load_biases(args, tile, rows, 3, sums);
    multiply_x(args, tile, rows, 3, sums);
    vector n_of_x[ROWS];
    for (int row = 0; row < rows; row++) {
        n_of_x[row] = sums[row][2];
        sums[row][2] = load(args->b_hn + tile.unit, tile.n);
    }
    multiply_h(args, tile, rows, 3, sums);
    for (int row = 0; row < rows; row++) {
        vector h = load(before_ptr(args, tile, row), tile.n);
        vector r = sigmoid(sums[row][0]);
        vector z = sigmoid(sums[row][1]);
        vector m = sums[row][2];
        vector n = tanh_of(n_of_x[row] + r * m);
        h = n + z * (h - n);
        store(after_ptr(args, tile, row), tile.n, h);
        if (args->needs_backward) {
            real *gates = element_ptr(args->gates, args, tile, row, 3);
            store(gates, tile.n, r);
            store(gates + H, tile.n, z);
            store(gates + 2 * H, tile.n, n);
            store(element_ptr(args->extra, args, tile, row, 1), tile.n, m);
        }
    }
}

/* dm, dr, dz, dn, and the direct contribution to dh_{t-1}. */
INLINE void gru_backward_row(const SequenceArgs *args, Tile tile)
{
    int64_t H = args->H;
    const real *gates = element_ptr(args->gates, args, tile, 0, 3);
    real *d = element_ptr(args->d, args, tile, 0, 4);
    vector r = load(gates, tile.n);
    vector z = load(gates + H, tile.n);
    vector n = load(gates + 2 * H, tile.n);
    vector m = load(element_ptr(args->extra, args, tile, 0, 1), tile.n);
    vector h_before = load(before_ptr(args, tile, 0), tile.n);
    vector dh = load_dh(args, tile);
    vector dn = (1 - z) * (1 - n * n) * dh;
    vector dz = (h_before - n) * z * (1 - z) * dh;
    vector dm = dn * r;
    vector dr = dn * m * r * (1 - r);
    store(d, tile.n, dm);
    store(d + H, tile.n, dr);
    store(d + 2 * H, tile.n, dz);
    store(d + 3 * H, tile.n, dn);
    store(row_ptr(args->dh, args, tile, 0), tile.n, z * dh);
}

void gru_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(gru_forward_tile, args, from, to, LANES))
}

void gru_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(gru_backward_row, args, from, to))
}


/* ---- the LSTM -------------------------------------------------------------------------------*/

/* Pointer to row r of the tile in c_before. */
INLINE real *c_before_ptr(const SequenceArgs *args, Tile tile, int r)
{
    int64_t row = args->needs_backward ? row_before(args, tile.t) : 0;
    return row_ptr(args->c_before, args, tile, r) + row * args->H;
}

/* Pointer to row r of the tile in c_after. */
INLINE real *c_after_ptr(const SequenceArgs *args, Tile tile, int r)
{
    int64_t row = args->needs_backward ? row_after(args, tile.t) : 0;
    return row_ptr(args->c_after, args, tile, r) + row * args->H;
}

/* i, f, o = σ(W_ih x + W_hh h + b), g = tanh(W_ih x + W_hh h + b), each with its own rows of the
 * weights; c = f ⊙ c + i ⊙ g, h = o ⊙ tanh(c). */
INLINE void lstm_forward_tile(const SequenceArgs *args, Tile tile, int rows)
{
    int64_t H = args->H;
    Sums a;
    load_biases(args, tile, rows, 4, a);
    multiply_x(args, tile, rows, 4, a);
    multiply_h(args, tile, rows, 4, a);
    for (int r = 0; r < rows; r++) {
        vector i = sigmoid(a[r][0]);
        vector f = sigmoid(a[r][1]);
        vector g = tanh_of(a[r][2]);
        vector o = sigmoid(a[r][3]);
        vector c = load(c_before_ptr(args, tile, r), tile.n);
        c = f * c + i * g;
        vector tanh_c = tanh_of(c);
        store(c_after_ptr(args, tile, r), tile.n, c);
        store(after_ptr(args, tile, r), tile.n, o * tanh_c);
        if (args->needs_backward) {
            real *gates = element_ptr(args->gates, args, tile, r, 4);
            store(gates, tile.n, i);
            store(gates + H, tile.n, f);
            store(gates + 2 * H, tile.n, g);
            store(gates + 3 * H, tile.n, o);
            store(element_ptr(args->extra, args, tile, r, 1), tile.n, tanh_c);
        }
    }
}

/* di, df, dg, do, and dc_{t-1}. */
INLINE void lstm_backward_row(const SequenceArgs *args, Tile tile)
{
    int64_t H = args->H;
    const real *gates = element_ptr(args->gates, args, tile, 0, 4);
    real *d = element_ptr(args->d, args, tile, 0, 4);
    vector i = load(gates, tile.n);
    vector f = load(gates + H, tile.n);
    vector g = load(gates + 2 * H, tile.n);
    vector o = load(gates + 3 * H, tile.n);
    vector tanh_c = load(element_ptr(args->extra, args, tile, 0, 1), tile.n);
    vector c_before = load(c_before_ptr(args, tile, 0), tile.n);
    vector dh = load_dh(args, tile);
    vector dc = load(row_ptr(args->dc, args, tile, 0), tile.n);
    dc += o * (1 - tanh_c * tanh_c) * dh;
    store(d, tile.n, g * i * (1 - i) * dc);
    store(d + H, tile.n, c_before * f * (1 - f) * dc);
    store(d + 2 * H, tile.n, i * (1 - g * g) * dc);
    store(d + 3 * H, tile.n, tanh_c * o * (1 - o) * dh);
    store(row_ptr(args->dc, args, tile, 0), tile.n, f * dc);
    store(row_ptr(args->dh, args, tile, 0), tile.n, broadcast(0));
}

void lstm_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(lstm_forward_tile, args, from, to, LANES))
}

void lstm_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(lstm_backward_row, args, from, to))
}


/* ---- exported constants ---------------------------------------------------------------------*/

/* For the panels, which c_backend.py packs and allocates. */
const int64_t lanes = LANES, vectors = VECTORS, panel_elements = DEPTH * UNITS;

/* The layout of SequenceArgs, which c_compiler.py compares with the structure in c_backend.py. */
typedef struct {
    const char *name;
    int64_t offset;                         /* in bytes */
} Field;

#define FIELD(name) {#name, offsetof(SequenceArgs, name)}
const Field sequence_args_fields[] = {
    FIELD(T), FIELD(B), FIELD(I), FIELD(H), FIELD(G), FIELD(gradient_count), FIELD(reverse),
    FIELD(threads), FIELD(offsets), FIELD(needs_backward), FIELD(w_ih), FIELD(w_hh), FIELD(b),
    FIELD(b_hn), FIELD(input), FIELD(input_step_stride), FIELD(input_row_stride), FIELD(gates),
    FIELD(h_before), FIELD(h_after), FIELD(extra), FIELD(c_before), FIELD(c_after), FIELD(d),
    FIELD(d_outputs), FIELD(d_outputs_step_stride), FIELD(d_outputs_row_stride), FIELD(d_input),
    FIELD(dh), FIELD(dc), FIELD(d_w_ih), FIELD(d_w_hh), FIELD(panels), {"", sizeof(SequenceArgs)},
};
