/* The walks of ``derivations`` along a block of steps and back, in C; ``compiled`` calls them.
 *
 * The rows of a batch know nothing of one another, so each thread takes some of them through all
 * steps, and no thread ever waits for another. At each step a few rows and the units of one panel
 * of W_hh go at a time: their part of the product is summed up in the processor's registers, and
 * becomes gates and states there, before any of it is written down.
 *
 * Equations and letters are those of ``derivations``. Besides: T steps of the block, B batch, H
 * hidden_size. Compiled once for float and, with -DDOUBLE, once for double.
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

/* One walk. The buffers are those of Block and of Derivation.backward, each contiguous but for the
 * steps of c, which may all have the room of one, and for d_outputs. */
typedef struct {
    int64_t T, B, H, reverse, threads;
    int64_t keep;                           /* whether the walk back will come */
    const real *panels;                     /* of W_hh, see multiply */
    const real *b_hn;                       /* the GRU's (H) */
    real *gates;                            /* (T, B, G*H) */
    real *h_before, *h_after, *kept;        /* (T, B, H) */
    real *c_before, *c_after;               /* the same */
    int64_t step_of_c;                      /* from one step to the next, in numbers */
    real *d;                                /* (T, B, gradient_count*H) */
    const real *d_outputs;                  /* (T, B, H), or none */
    int64_t step_of_d_outputs, row_of_d_outputs;
    real *dh, *dc;                          /* (B, H) */
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


/* ---- walking ----------------------------------------------------------------------------------- */

/* Where in a walk we are: at step t, at some rows and at n units of them. */
typedef struct {
    int64_t t, row, unit, n;
} Place;

INLINE Place place(const Walk *walk, int64_t t, int64_t row, int64_t unit, int64_t most)
{
    int64_t left = walk->H - unit;
    return (Place){t, row, unit, left < most ? left : most};
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

/* What is done to a few rows, at most ROWS, and the units of one panel. */
typedef void Few(const Walk *, Place, int rows, const real *panel);

/* ... and to one row and the units of one vector. */
typedef void Each(const Walk *, Place);

/* Rows ``from`` to ``to``, few at a time, as evenly as they go. */
INLINE void by_few(Few few, const Walk *walk, Place at, int64_t from, int64_t to, const real *panel)
{
    int64_t times = (to - from + ROWS - 1) / ROWS;
    for (int64_t i = 0; i < times; i++) {
        at.row = from + (to - from) * i / times;
        few(walk, at, from + (to - from) * (i + 1) / times - at.row, panel);
    }
}

/* Rows ``from`` to ``to`` along all steps. */
INLINE void along(Few few, const Walk *walk, int64_t from, int64_t to, int vectors, int units)
{
    for (int64_t step = 0; step < walk->T; step++) {
        int64_t t = walk->reverse ? walk->T - 1 - step : step;
        const real *panel = walk->panels;
        for (int64_t unit = 0; unit < walk->H; unit += units, panel += walk->H * vectors * LANES)
            by_few(few, walk, place(walk, t, 0, unit, units), from, to, panel);
    }
}

/* The same rows back. At each step first through the gates, which leaves in dh what reaches h_{t-1}
 * past them, then the product with the ``depth`` rows of W_hh, which adds to that. */
INLINE void back(Each through, Few product, const Walk *walk, int64_t from, int64_t to,
                 int64_t depth)
{
    const int units = VECTORS * LANES;
    for (int64_t step = 0; step < walk->T; step++) {
        int64_t t = walk->reverse ? step : walk->T - 1 - step;
        for (int64_t row = from; row < to; row++)
            for (int64_t unit = 0; unit < walk->H; unit += LANES)
                through(walk, place(walk, t, row, unit, LANES));
        const real *panel = walk->panels;
        for (int64_t unit = 0; unit < walk->H; unit += units, panel += depth * units)
            by_few(product, walk, place(walk, t, 0, unit, units), from, to, panel);
    }
}

/* ``walk_of_rows``, by each thread for its own. */
#define BY_ROWS(walk_of_rows)                                                                      \
    _Pragma("omp parallel for num_threads(walk->threads) schedule(static)")                        \
    for (int64_t i = 0; i < walk->threads; i++) {                                                  \
        int64_t from = walk->B * i / walk->threads, to = walk->B * (i + 1) / walk->threads;        \
        walk_of_rows;                                                                              \
    }


/* ---- what the three have in common ------------------------------------------------------------- */

/* sums += x W for a few rows of x, ``depth`` numbers of each.
 *
 * A panel holds some columns of W: for each number of the depth as many vectors as a row of the
 * sums has. What is loaded of it serves all rows. ``rows`` and ``vectors`` are constants to the
 * compiler, so that it can keep the sums in registers. */
INLINE void multiply_few(const int rows, const int vectors, const real *x, int64_t depth,
                         int64_t row_of_x, const real *panel, Sums sums)
{
    Sums a;
    memcpy(a, sums, sizeof(Sums));
    for (int64_t k = 0; k < depth; k++, panel += vectors * LANES) {
        vector w[VECTORS];
        UNROLLED (int v = 0; v < vectors; v++)
            w[v] = load(panel + v * LANES, LANES);
        UNROLLED (int r = 0; r < rows; r++)
            UNROLLED (int v = 0; v < vectors; v++)
                a[r][v] += x[r * row_of_x + k] * w[v];
    }
    memcpy(sums, a, sizeof(Sums));
}

/* The same where the compiler does not know the rows. */
INLINE void multiply(int rows, const int vectors, const real *x, int64_t depth, int64_t row_of_x,
                     const real *panel, Sums sums)
{
    switch (rows) {
        case 1: multiply_few(1, vectors, x, depth, row_of_x, panel, sums); break;
        case 2: multiply_few(2, vectors, x, depth, row_of_x, panel, sums); break;
        case 3: multiply_few(3, vectors, x, depth, row_of_x, panel, sums); break;
#ifdef __AVX512F__
        case 4: multiply_few(4, vectors, x, depth, row_of_x, panel, sums); break;
        case 5: multiply_few(5, vectors, x, depth, row_of_x, panel, sums); break;
        case 6: multiply_few(6, vectors, x, depth, row_of_x, panel, sums); break;
#endif
    }
}

/* sums += h_{t-1} Wᵀ */
INLINE void multiply_h(const Walk *walk, Place at, int rows, const int vectors,
                       const real *panel, Sums sums)
{
    at.unit = 0;
    multiply(rows, vectors, in(walk->h_before, walk, at, 0, 1), walk->H, walk->H, panel, sums);
}

/* dh += d W, where W_hh has ``gates`` times H rows and d ``gradients`` times H numbers a row. */
INLINE void multiply_d(const Walk *walk, Place at, int rows, const real *panel, int gates,
                       int gradients)
{
    Place start = at;
    start.unit = 0;
    Sums sums;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = load(in_row(walk->dh, walk, at, r) + v * LANES, at.n - v * LANES);
    multiply(rows, VECTORS, in(walk->d, walk, start, 0, gradients), gates * walk->H,
             gradients * walk->H, panel, sums);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            store(in_row(walk->dh, walk, at, r) + v * LANES, at.n - v * LANES, sums[r][v]);
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

/* h = tanh(x + W h), or with relu max(0, x + W h). */
INLINE void rnn_few(const Walk *walk, Place at, int rows, const real *panel, int relu)
{
    Sums a;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            a[r][v] = load(in(walk->gates, walk, at, r, 1) + v * LANES, at.n - v * LANES);
    multiply_h(walk, at, rows, VECTORS, panel, a);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) {
            vector h = relu ? choose(a[r][v] < 0, all(0), a[r][v]) : tanh_of(a[r][v]);
            store(in(walk->h_after, walk, at, r, 1) + v * LANES, at.n - v * LANES, h);
        }
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

INLINE void rnn_product(const Walk *walk, Place at, int rows, const real *panel)
{
    multiply_d(walk, at, rows, panel, 1, 1);
}

INLINE void tanh_few(const Walk *walk, Place at, int rows, const real *panel)
{
    rnn_few(walk, at, rows, panel, 0);
}

INLINE void tanh_through(const Walk *walk, Place at)
{
    rnn_through(walk, at, 0);
}

INLINE void relu_few(const Walk *walk, Place at, int rows, const real *panel)
{
    rnn_few(walk, at, rows, panel, 1);
}

INLINE void relu_through(const Walk *walk, Place at)
{
    rnn_through(walk, at, 1);
}

void tanh_forward(const Walk *walk)
{
    BY_ROWS(along(tanh_few, walk, from, to, VECTORS, VECTORS * LANES))
}

void tanh_backward(const Walk *walk)
{
    BY_ROWS(back(tanh_through, rnn_product, walk, from, to, walk->H))
}

void relu_forward(const Walk *walk)
{
    BY_ROWS(along(relu_few, walk, from, to, VECTORS, VECTORS * LANES))
}

void relu_backward(const Walk *walk)
{
    BY_ROWS(back(relu_through, rnn_product, walk, from, to, walk->H))
}


/* ---- the GRU ----------------------------------------------------------------------------------- */

/* m = W_hn h + b_hn, r = σ(x_r + W_hr h), z = σ(x_z + W_hz h), n = tanh(x_n + r ⊙ m),
 * h = n + z ⊙ (h - n). The gates take the places of the x. */
INLINE void gru_few(const Walk *walk, Place at, int rows, const real *panel)
{
    int64_t H = walk->H;
    Sums sums;
    for (int row = 0; row < rows; row++) {
        const real *x = in(walk->gates, walk, at, row, 3);
        sums[row][0] = load(x, at.n);
        sums[row][1] = load(x + H, at.n);
        sums[row][2] = load(walk->b_hn + at.unit, at.n);
    }
    multiply_h(walk, at, rows, 3, panel, sums);
    for (int row = 0; row < rows; row++) {
        real *gates = in(walk->gates, walk, at, row, 3);
        vector h = load(in(walk->h_before, walk, at, row, 1), at.n);
        vector r = sigmoid(sums[row][0]);
        vector z = sigmoid(sums[row][1]);
        vector m = sums[row][2];
        vector n = tanh_of(load(gates + 2 * H, at.n) + r * m);
        h = n + z * (h - n);
        store(in(walk->h_after, walk, at, row, 1), at.n, h);
        if (walk->keep) {
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

INLINE void gru_product(const Walk *walk, Place at, int rows, const real *panel)
{
    multiply_d(walk, at, rows, panel, 3, 4);
}

void gru_forward(const Walk *walk)
{
    BY_ROWS(along(gru_few, walk, from, to, 3, LANES))
}

void gru_backward(const Walk *walk)
{
    BY_ROWS(back(gru_through, gru_product, walk, from, to, 3 * walk->H))
}


/* ---- the LSTM ---------------------------------------------------------------------------------- */

INLINE real *in_c(real *c, const Walk *walk, Place at, int r)
{
    return in_row(c, walk, at, r) + at.t * walk->step_of_c;
}

/* i, f, o = σ(x + W h), g = tanh(x + W h), c = f ⊙ c + i ⊙ g, h = o ⊙ tanh(c). The gates take the
 * places of the x. */
INLINE void lstm_few(const Walk *walk, Place at, int rows, const real *panel)
{
    int64_t H = walk->H;
    Sums a;
    for (int r = 0; r < rows; r++)
        for (int gate = 0; gate < 4; gate++)
            a[r][gate] = load(in(walk->gates, walk, at, r, 4) + gate * H, at.n);
    multiply_h(walk, at, rows, 4, panel, a);
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

INLINE void lstm_product(const Walk *walk, Place at, int rows, const real *panel)
{
    multiply_d(walk, at, rows, panel, 4, 4);
}

void lstm_forward(const Walk *walk)
{
    BY_ROWS(along(lstm_few, walk, from, to, 4, LANES))
}

void lstm_backward(const Walk *walk)
{
    BY_ROWS(back(lstm_through, lstm_product, walk, from, to, 4 * walk->H))
}

/* For whoever lays out the panels. */
const int64_t lanes = LANES, vectors = VECTORS;
