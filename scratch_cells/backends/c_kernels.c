/* The walks of ``derivations`` along a block of steps and back, in C; ``compiled`` calls them.
 *
 * The rows of a batch know nothing of one another, so each thread takes some of them through all
 * steps, and no thread ever waits for another. At each step a few rows and some of the units go at
 * a time: their part of both products is summed up in the processor's registers, and becomes gates
 * and states there, before any of it is written down.
 *
 * Equations and letters are those of ``derivations``. Besides: T steps of the block, B batch, I
 * input_size, H hidden_size, G gate_count. Compiled once for float and, with -DDOUBLE, for double.
 *
 * Vectors are the compiler's: operators work lane by lane, a cast between two vectors keeps the
 * bits, and a comparison gives all ones where it holds and zeros elsewhere.
 */

#include <stdint.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t integer;
enum { MANTISSA = 52, BIAS = 1023, FURTHEST = 708 };
#define LN2_HIGH 0x1.62e42feep-1    /* few bits, so that n LN2_HIGH is exact */
#define LN2_LOW 0x1.a39ef35793c76p-33
#else
typedef float real;
typedef int32_t integer;
enum { MANTISSA = 23, BIAS = 127, FURTHEST = 87 };
#define LN2_HIGH 0x1.62ep-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#endif

/* A product's sums want ROWS times VECTORS registers, and there are 32 or 16. */
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

/* One walk. The buffers are those of Block and of Derivation.backward, contiguous where no distance
 * from one step or row to the next, in numbers, says otherwise. */
typedef struct {
    int64_t T, B, I, H, G, gradient_count, reverse, threads;
    int64_t keep;                           /* whether the walk back will come */
    const real *w_ih, *w_hh;                /* in panels, see multiply; back those of the other way */
    const real *b, *b_hn;                   /* (G*H), and the GRU's (H) */
    const real *input;                      /* (T, B, I) */
    int64_t step_of_input, row_of_input;
    real *gates;                            /* (T, B, G*H) */
    real *h_before, *h_after, *kept;        /* (T, B, H) */
    real *c_before, *c_after;               /* the same */
    int64_t step_of_c;                      /* 0 where one step's room serves all */
    real *d;                                /* (T, B, gradient_count*H) */
    const real *d_outputs;                  /* (T, B, H), or none */
    int64_t step_of_d_outputs, row_of_d_outputs;
    real *d_input;                          /* (T, B, I), or none */
    real *dh, *dc;                          /* (B, H) */
    real *d_w_ih, *d_w_hh;                  /* (G*H, I), (G*H, H) */
} Walk;


/* ---- vectors ----------------------------------------------------------------------------------- */

/* The first n lanes, or all if there are no more than that. */
INLINE vector load(const real *from, int64_t n)
{
    vector x = {0};
    if (n >= LANES)
        memcpy(&x, from, BYTES);
    else if (n > 0)
        memcpy(&x, from, n * sizeof(real));
    return x;
}

INLINE void store(real *to, int64_t n, vector x)
{
    if (n >= LANES)
        memcpy(to, &x, BYTES);
    else if (n > 0)
        memcpy(to, &x, n * sizeof(real));
}

INLINE vector all(real x)
{
    return x - (vector){0};
}

INLINE vector choose(integers where, vector a, vector b)
{
    return (vector)((where & (integers)a) | (~where & (integers)b));
}


/* ---- σ and tanh -------------------------------------------------------------------------------- */

/* exp(2x) = power (q + p) / (q - p), not yet divided, so that σ and tanh divide but once. */
typedef struct {
    vector power, p, q;
} Exponential;

/* 2x = n ln 2 + 2y with |2y| <= ln 2 / 2, the power is 2^n, and p / q = tanh y, for exp(2y) =
 * (1 + tanh y) / (1 - tanh y). tanh y is Lambert's continued fraction y / (1 + y²/(3 + y²/(5 + ...)))
 * as far as the 13, which is off by less than 1e-19 of itself. (J. H. Lambert, 1768.) */
INLINE Exponential exp_of_twice(vector x)
{
    vector far = all(FURTHEST / (real)2);   /* exp(87) is a float, exp(89) is not */
    x = choose(x > far, far, x);
    x = choose(x < -far, -far, x);

    vector ones = all(3LL << (MANTISSA - 1));   /* so large that the last bit counts ones */
    vector rounded = x * (real)2.885390081777926814 + ones;
    vector n = rounded - ones;
    vector y = x - n * (LN2_HIGH / 2) - n * (LN2_LOW / 2);
    vector power = (vector)(((integers)rounded - (integers)ones + BIAS) << MANTISSA);

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

/* (exp(2x) - 1) / (exp(2x) + 1), so written that near zero, where the power is 1, it is p / q:
 * as exact as x, however small. */
INLINE vector tanh_of(vector x)
{
    Exponential e = exp_of_twice(x);
    vector less = e.power - 1, more = e.power + 1;
    return (less * e.q + more * e.p) / (more * e.q + less * e.p);
}


/* ---- places ------------------------------------------------------------------------------------ */

/* Where in a walk we are: at step t, at some rows and at n units of them. */
typedef struct {
    int64_t t, row, unit, n;
} Place;

/* At ``most`` so many units of ``size``. */
INLINE Place place(int64_t t, int64_t row, int64_t unit, int64_t most, int64_t size)
{
    return (Place){t, row, unit, size - unit < most ? size - unit : most};
}

/* The place's row r, or rather its numbers for the place's units, in a buffer (T, B, count*H). */
INLINE real *in(real *buffer, const Walk *walk, Place at, int r, int count)
{
    return buffer + (at.t * walk->B + at.row + r) * count * walk->H + at.unit;
}

/* The same in a buffer (B, H). */
INLINE real *in_row(real *buffer, const Walk *walk, Place at, int r)
{
    return buffer + (at.row + r) * walk->H + at.unit;
}


/* ---- products ---------------------------------------------------------------------------------- */

/* sums += x W for a few rows of x, ``depth`` numbers of each, which lie ``next`` apart.
 *
 * A panel holds some columns of W: for each number of the depth as many vectors as a row of the
 * sums has. What is loaded of it serves all rows. ``rows`` and ``vectors`` are constants to the
 * compiler, so that it can keep the sums in registers. */
INLINE void multiply_few(const int rows, const int vectors, const real *x, int64_t row_of_x,
                         int64_t next, int64_t depth, const real *panel, Sums sums)
{
    Sums a;
    memcpy(a, sums, sizeof(Sums));
    for (int64_t k = 0; k < depth; k++, panel += vectors * LANES) {
        vector w[VECTORS];
        UNROLLED (int v = 0; v < vectors; v++)
            w[v] = load(panel + v * LANES, LANES);
        UNROLLED (int r = 0; r < rows; r++)
            UNROLLED (int v = 0; v < vectors; v++)
                a[r][v] += x[r * row_of_x + k * next] * w[v];
    }
    memcpy(sums, a, sizeof(Sums));
}

/* The same where the compiler does not know the rows. */
INLINE void multiply(int rows, const int vectors, const real *x, int64_t row_of_x, int64_t next,
                     int64_t depth, const real *panel, Sums sums)
{
    switch (rows) {
        case 1: multiply_few(1, vectors, x, row_of_x, next, depth, panel, sums); break;
        case 2: multiply_few(2, vectors, x, row_of_x, next, depth, panel, sums); break;
        case 3: multiply_few(3, vectors, x, row_of_x, next, depth, panel, sums); break;
#ifdef __AVX512F__
        case 4: multiply_few(4, vectors, x, row_of_x, next, depth, panel, sums); break;
        case 5: multiply_few(5, vectors, x, row_of_x, next, depth, panel, sums); break;
        case 6: multiply_few(6, vectors, x, row_of_x, next, depth, panel, sums); break;
#endif
    }
}

/* A row of sums from each of a few rows that lie ``row`` apart, of which n numbers are wanted. */
INLINE void load_sums(Sums sums, const real *from, int64_t row, int rows, int64_t n)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = load(from + r * row + v * LANES, n - v * LANES);
}

INLINE void store_sums(real *to, int64_t row, int rows, int64_t n, Sums sums)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            store(to + r * row + v * LANES, n - v * LANES, sums[r][v]);
}

/* The biases of every gate, for a few rows. */
INLINE void load_biases(const Walk *walk, Place at, int rows, int gates, Sums sums)
{
    for (int r = 0; r < rows; r++)
        for (int gate = 0; gate < gates; gate++)
            sums[r][gate] = load(walk->b + gate * walk->H + at.unit, at.n);
}

/* sums += x_t W_ihᵀ, for every gate the units of the place. */
INLINE void multiply_x(const Walk *walk, Place at, int rows, const int vectors, Sums sums)
{
    const real *x = walk->input + at.t * walk->step_of_input + at.row * walk->row_of_input;
    const real *panel = walk->w_ih + at.unit * walk->G * walk->I;
    multiply(rows, vectors, x, walk->row_of_input, 1, walk->I, panel, sums);
}

/* sums += h_{t-1} W_hhᵀ, likewise. */
INLINE void multiply_h(const Walk *walk, Place at, int rows, const int vectors, Sums sums)
{
    const real *h = walk->h_before + (at.t * walk->B + at.row) * walk->H;
    const real *panel = walk->w_hh + at.unit * walk->G * walk->H;
    multiply(rows, vectors, h, walk->H, 1, walk->H, panel, sums);
}

/* sums += d W, for the units of the place; of a row of d the G*H numbers that begin at ``first``. */
INLINE void multiply_d(const Walk *walk, Place at, int rows, int64_t first, const real *w,
                       Sums sums)
{
    int64_t row_of_d = walk->gradient_count * walk->H, depth = walk->G * walk->H;
    const real *d = walk->d + (at.t * walk->B + at.row) * row_of_d + first;
    multiply(rows, VECTORS, d, row_of_d, 1, depth, w + at.unit * depth, sums);
}

/* dh += d W_hh */
static void add_to_dh(const Walk *walk, Place at, int rows)
{
    Sums dh;
    load_sums(dh, in_row(walk->dh, walk, at, 0), walk->H, rows, at.n);
    multiply_d(walk, at, rows, 0, walk->w_hh, dh);
    store_sums(in_row(walk->dh, walk, at, 0), walk->H, rows, at.n, dh);
}

/* dx = d W_ih */
static void write_d_input(const Walk *walk, Place at, int rows)
{
    Sums dx = {0};
    multiply_d(walk, at, rows, (walk->gradient_count - walk->G) * walk->H, walk->w_ih, dx);
    real *d_input = walk->d_input + (at.t * walk->B + at.row) * walk->I + at.unit;
    store_sums(d_input, walk->I, rows, at.n, dx);
}

/* Rows ``from`` to ``to`` of d_w, in a matrix with so many ``columns``: d_w += dᵀ x, where a row of
 * d begins at ``first``, and x is (T, B, columns) with these distances. As many rows of x as the
 * processor's nearest caches hold go at a time, laid out as a panel. */
static void add_products(const Walk *walk, int64_t from, int64_t to, int64_t first, const real *x,
                         int64_t step_of_x, int64_t row_of_x, int64_t columns, real *d_w)
{
    enum { DEPTH = 256, UNITS = VECTORS * LANES };
    real panel[DEPTH * UNITS];
    int64_t row_of_d = walk->gradient_count * walk->H;
    for (int64_t start = 0; start < walk->T * walk->B; start += DEPTH) {
        int64_t left = walk->T * walk->B - start, depth = left < DEPTH ? left : DEPTH;
        const real *d = walk->d + start * row_of_d + first;
        for (int64_t column = 0; column < columns; column += UNITS) {
            int64_t n = columns - column;
            for (int64_t k = 0; k < depth; k++) {
                int64_t t = (start + k) / walk->B, b = (start + k) % walk->B;
                const real *row = x + t * step_of_x + b * row_of_x + column;
                for (int v = 0; v < VECTORS; v++)
                    store(panel + k * UNITS + v * LANES, LANES, load(row + v * LANES, n - v * LANES));
            }
            for (int64_t i = from; i < to; i += ROWS) {
                int rows = to - i < ROWS ? to - i : ROWS;
                real *sum = d_w + i * columns + column;
                Sums sums;
                load_sums(sums, sum, columns, rows, n);
                multiply(rows, VECTORS, d + i, 1, row_of_d, depth, panel, sums);
                store_sums(sum, columns, rows, n, sums);
            }
        }
    }
}

/* d_w_ih += dᵀ x and d_w_hh += dᵀ h_{t-1} of all steps, each thread some of their rows. */
void add_to_weights(const Walk *walk)
{
    int64_t H = walk->H, rows = walk->G * H, projection = (walk->gradient_count - walk->G) * H;
    _Pragma("omp parallel for num_threads(walk->threads) schedule(static)")
    for (int64_t i = 0; i < walk->threads; i++) {
        int64_t from = rows * i / walk->threads, to = rows * (i + 1) / walk->threads;
        add_products(walk, from, to, projection, walk->input, walk->step_of_input,
                     walk->row_of_input, walk->I, walk->d_w_ih);
        add_products(walk, from, to, 0, walk->h_before, walk->B * H, H, H, walk->d_w_hh);
    }
}


/* ---- walking ----------------------------------------------------------------------------------- */

/* What is done to a few rows, at most ROWS, and the units of one panel. */
typedef void Few(const Walk *, Place, int rows);

/* ... and to one row and the units of one vector. */
typedef void Each(const Walk *, Place);

/* Rows ``from`` to ``to``, few at a time, as evenly as they go, and all units of ``size``. */
INLINE void by_few(Few few, const Walk *walk, int64_t t, int64_t from, int64_t to, int units,
                   int64_t size)
{
    int64_t times = (to - from + ROWS - 1) / ROWS;
    for (int64_t unit = 0; unit < size; unit += units)
        for (int64_t i = 0; i < times; i++) {
            int64_t row = from + (to - from) * i / times;
            int64_t end = from + (to - from) * (i + 1) / times;
            few(walk, place(t, row, unit, units, size), end - row);
        }
}

/* Rows ``from`` to ``to`` along all steps; a panel has so many ``units``. */
INLINE void along(Few few, const Walk *walk, int64_t from, int64_t to, int units)
{
    for (int64_t step = 0; step < walk->T; step++) {
        int64_t t = walk->reverse ? walk->T - 1 - step : step;
        by_few(few, walk, t, from, to, units, walk->H);
    }
}

/* The same rows back. At each step first through the gates, which leaves in d the gradients and in
 * dh what reaches h_{t-1} past them, then the products of d. */
INLINE void back(Each through, const Walk *walk, int64_t from, int64_t to)
{
    for (int64_t step = 0; step < walk->T; step++) {
        int64_t t = walk->reverse ? step : walk->T - 1 - step;
        for (int64_t row = from; row < to; row++)
            for (int64_t unit = 0; unit < walk->H; unit += LANES)
                through(walk, place(t, row, unit, LANES, walk->H));
        by_few(add_to_dh, walk, t, from, to, VECTORS * LANES, walk->H);
        if (walk->d_input)
            by_few(write_d_input, walk, t, from, to, VECTORS * LANES, walk->I);
    }
}

/* ``walk_of_rows``, by each thread for its own. */
#define BY_ROWS(walk_of_rows)                                                                      \
    _Pragma("omp parallel for num_threads(walk->threads) schedule(static)")                        \
    for (int64_t i = 0; i < walk->threads; i++) {                                                  \
        int64_t from = walk->B * i / walk->threads, to = walk->B * (i + 1) / walk->threads;        \
        walk_of_rows;                                                                              \
    }

/* dh, and what reaches the output of this step from outside. */
INLINE vector load_dh(const Walk *walk, Place at)
{
    vector dh = load(in_row(walk->dh, walk, at, 0), at.n);
    if (!walk->d_outputs)
        return dh;
    return dh + load(walk->d_outputs + at.t * walk->step_of_d_outputs
                     + at.row * walk->row_of_d_outputs + at.unit, at.n);
}


/* ---- the RNN ----------------------------------------------------------------------------------- */

/* h = tanh(W_ih x + W_hh h + b), or with relu max(0, ...). */
INLINE void rnn_few(const Walk *walk, Place at, int rows, int relu)
{
    Sums a;
    load_sums(a, walk->b + at.unit, 0, rows, at.n);
    multiply_x(walk, at, rows, VECTORS, a);
    multiply_h(walk, at, rows, VECTORS, a);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            a[r][v] = relu ? choose(a[r][v] < 0, all(0), a[r][v]) : tanh_of(a[r][v]);
    store_sums(in(walk->h_after, walk, at, 0, 1), walk->H, rows, at.n, a);
}

/* da = (1 - h²) ⊙ dh, or with relu dh where h > 0. */
INLINE void rnn_through(const Walk *walk, Place at, int relu)
{
    vector h = load(in(walk->h_after, walk, at, 0, 1), at.n);
    vector dh = load_dh(walk, at);
    vector da = relu ? choose(h > 0, dh, all(0)) : (1 - h * h) * dh;
    store(in(walk->d, walk, at, 0, 1), at.n, da);
    store(in_row(walk->dh, walk, at, 0), at.n, all(0));
}

INLINE void tanh_few(const Walk *walk, Place at, int rows)
{
    rnn_few(walk, at, rows, 0);
}

INLINE void tanh_through(const Walk *walk, Place at)
{
    rnn_through(walk, at, 0);
}

INLINE void relu_few(const Walk *walk, Place at, int rows)
{
    rnn_few(walk, at, rows, 1);
}

INLINE void relu_through(const Walk *walk, Place at)
{
    rnn_through(walk, at, 1);
}

void tanh_forward(const Walk *walk)
{
    BY_ROWS(along(tanh_few, walk, from, to, VECTORS * LANES))
}

void tanh_backward(const Walk *walk)
{
    BY_ROWS(back(tanh_through, walk, from, to))
}

void relu_forward(const Walk *walk)
{
    BY_ROWS(along(relu_few, walk, from, to, VECTORS * LANES))
}

void relu_backward(const Walk *walk)
{
    BY_ROWS(back(relu_through, walk, from, to))
}


/* ---- the GRU ----------------------------------------------------------------------------------- */

/* m = W_hn h + b_hn, r = σ(W_ir x + W_hr h + b_r), z = σ(W_iz x + W_hz h + b_z),
 * n = tanh(W_in x + b_n + r ⊙ m), h = n + z ⊙ (h - n); b_n is b_in, the other two are sums. */
INLINE void gru_few(const Walk *walk, Place at, int rows)
{
    int64_t H = walk->H;
    Sums sums;
    load_biases(walk, at, rows, 3, sums);
    multiply_x(walk, at, rows, 3, sums);
    vector n_of_x[ROWS];
    for (int row = 0; row < rows; row++) {
        n_of_x[row] = sums[row][2];
        sums[row][2] = load(walk->b_hn + at.unit, at.n);
    }
    multiply_h(walk, at, rows, 3, sums);
    for (int row = 0; row < rows; row++) {
        vector h = load(in(walk->h_before, walk, at, row, 1), at.n);
        vector r = sigmoid(sums[row][0]);
        vector z = sigmoid(sums[row][1]);
        vector m = sums[row][2];
        vector n = tanh_of(n_of_x[row] + r * m);
        h = n + z * (h - n);
        store(in(walk->h_after, walk, at, row, 1), at.n, h);
        if (walk->keep) {
            real *gates = in(walk->gates, walk, at, row, 3);
            store(gates, at.n, r);
            store(gates + H, at.n, z);
            store(gates + 2 * H, at.n, n);
            store(in(walk->kept, walk, at, row, 1), at.n, m);
        }
    }
}

/* The gradients of m, r, z and n, and what reaches h_{t-1} past them. */
INLINE void gru_through(const Walk *walk, Place at)
{
    int64_t H = walk->H;
    const real *gates = in(walk->gates, walk, at, 0, 3);
    real *d = in(walk->d, walk, at, 0, 4);
    vector r = load(gates, at.n);
    vector z = load(gates + H, at.n);
    vector n = load(gates + 2 * H, at.n);
    vector m = load(in(walk->kept, walk, at, 0, 1), at.n);
    vector h_before = load(in(walk->h_before, walk, at, 0, 1), at.n);
    vector dh = load_dh(walk, at);
    vector dn = (1 - z) * (1 - n * n) * dh;
    vector dz = (h_before - n) * z * (1 - z) * dh;
    vector dm = dn * r;
    vector dr = dn * m * r * (1 - r);
    store(d, at.n, dm);
    store(d + H, at.n, dr);
    store(d + 2 * H, at.n, dz);
    store(d + 3 * H, at.n, dn);
    store(in_row(walk->dh, walk, at, 0), at.n, z * dh);
}

void gru_forward(const Walk *walk)
{
    BY_ROWS(along(gru_few, walk, from, to, LANES))
}

void gru_backward(const Walk *walk)
{
    BY_ROWS(back(gru_through, walk, from, to))
}


/* ---- the LSTM ---------------------------------------------------------------------------------- */

INLINE real *in_c(real *c, const Walk *walk, Place at, int r)
{
    return in_row(c, walk, at, r) + at.t * walk->step_of_c;
}

/* i, f, o = σ(W_ih x + W_hh h + b), g = tanh(the same), each by its own rows of the weights,
 * c = f ⊙ c + i ⊙ g, h = o ⊙ tanh(c). */
INLINE void lstm_few(const Walk *walk, Place at, int rows)
{
    int64_t H = walk->H;
    Sums a;
    load_biases(walk, at, rows, 4, a);
    multiply_x(walk, at, rows, 4, a);
    multiply_h(walk, at, rows, 4, a);
    for (int r = 0; r < rows; r++) {
        vector i = sigmoid(a[r][0]);
        vector f = sigmoid(a[r][1]);
        vector g = tanh_of(a[r][2]);
        vector o = sigmoid(a[r][3]);
        vector c = load(in_c(walk->c_before, walk, at, r), at.n);
        c = f * c + i * g;
        vector tanh_c = tanh_of(c);
        store(in_c(walk->c_after, walk, at, r), at.n, c);
        store(in(walk->h_after, walk, at, r, 1), at.n, o * tanh_c);
        if (walk->keep) {
            real *gates = in(walk->gates, walk, at, r, 4);
            store(gates, at.n, i);
            store(gates + H, at.n, f);
            store(gates + 2 * H, at.n, g);
            store(gates + 3 * H, at.n, o);
            store(in(walk->kept, walk, at, r, 1), at.n, tanh_c);
        }
    }
}

/* The gradients of i, f, g and o, and of c_{t-1}. */
INLINE void lstm_through(const Walk *walk, Place at)
{
    int64_t H = walk->H;
    const real *gates = in(walk->gates, walk, at, 0, 4);
    real *d = in(walk->d, walk, at, 0, 4);
    vector i = load(gates, at.n);
    vector f = load(gates + H, at.n);
    vector g = load(gates + 2 * H, at.n);
    vector o = load(gates + 3 * H, at.n);
    vector tanh_c = load(in(walk->kept, walk, at, 0, 1), at.n);
    vector c_before = load(in_c(walk->c_before, walk, at, 0), at.n);
    vector dh = load_dh(walk, at);
    vector dc = load(in_row(walk->dc, walk, at, 0), at.n);
    dc += o * (1 - tanh_c * tanh_c) * dh;
    store(d, at.n, g * i * (1 - i) * dc);
    store(d + H, at.n, c_before * f * (1 - f) * dc);
    store(d + 2 * H, at.n, i * (1 - g * g) * dc);
    store(d + 3 * H, at.n, tanh_c * o * (1 - o) * dh);
    store(in_row(walk->dc, walk, at, 0), at.n, f * dc);
    store(in_row(walk->dh, walk, at, 0), at.n, all(0));
}

void lstm_forward(const Walk *walk)
{
    BY_ROWS(along(lstm_few, walk, from, to, LANES))
}

void lstm_backward(const Walk *walk)
{
    BY_ROWS(back(lstm_through, walk, from, to))
}

/* For whoever lays out the panels. */
const int64_t lanes = LANES, vectors = VECTORS;
