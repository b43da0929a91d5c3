/* σ and tanh of a vector, with one exponential and one division each. */

#pragma once

#include "factors.h"

#ifdef DOUBLE
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023, MAX_EXPONENT = 708 };
#define LN2_HIGH 0x1.62e42feep-1    /* few bits, so that n * LN2_HIGH is exact */
#define LN2_LOW 0x1.a39ef35793c76p-33
#else
enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127, MAX_EXPONENT = 87 };
#define LN2_HIGH 0x1.62ep-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#endif

#if defined(__AVX512F__) && !defined(DOUBLE)

#include <immintrin.h>

/* Between -limit and limit. NaN stays NaN: these instructions return their second operand then. */
INLINE vector clamp(vector x, real limit)
{
    __m512 below = _mm512_min_ps((__m512)broadcast(limit), (__m512)x);
    return (vector)_mm512_max_ps((__m512)broadcast(-limit), below);
}

#else

INLINE vector clamp(vector x, real limit)
{
    x = blend(x > limit, broadcast(limit), x);
    return blend(x < -limit, broadcast(-limit), x);
}

#endif

#ifdef BFLOAT16

/* a / b. The reciprocal has 14 bits, and 23 after a step of Newton's method. A division takes four
 * times as long. It can be 1 + 1e-7 where a = b, which rounds to 1 in bfloat16. */
INLINE vector quotient(vector a, vector b)
{
    vector r = (vector)_mm512_rcp14_ps((__m512)b);
    return a * (r + r * (1 - b * r));
}

#else

INLINE vector quotient(vector a, vector b)
{
    return a / b;
}

#endif

/* k x = n ln 2 + k y with |k y| <= ln 2 / 2, and 2^n. */
typedef struct {
    vector y, power;
} Reduced;

INLINE Reduced reduce(vector x, const real k)
{
    /* exp(87) is finite in float, exp(89) is not */
    x = clamp(x, MAX_EXPONENT / (k < 0 ? -k : k));

    /* Magic constant: adding it rounds to the nearest integer. */
    vector rounder = broadcast(3LL << (MANTISSA_BITS - 1));
    vector rounded = x * (k * (real)1.442695040888963407) + rounder;
    vector n = rounded - rounder;
    integers exponent = (integers)rounded - (integers)rounder + EXPONENT_BIAS;
    return (Reduced){
        .y = x - n * (LN2_HIGH / k) - n * (LN2_LOW / k),
        .power = (vector)(exponent << MANTISSA_BITS),
    };
}

/* exp(2x) = power (q + p) / (q - p), without the division, so that tanh divides only once. */
typedef struct {
    vector power, p, q;
} Exponential;

/* With 2x = n ln 2 + 2y, the power is 2^n, and p / q = tanh y: exp(2y) = (1 + tanh y) / (1 - tanh y).
 *
 * In double, tanh y is Lambert's continued fraction y / (1 + y²/(3 + y²/(5 + ...))) up to the 13
 * (J. H. Lambert, 1768); its relative error is below 1e-19. In float it is the polynomial of its
 * degree with the lowest relative error, 2e-10, and q = 1. */
INLINE Exponential exp_of_twice(vector x)
{
    Reduced r = reduce(x, 2);
    vector y = r.y, y2 = y * y;
#ifdef DOUBLE
    vector p = 1 + y2 * ((real)(5. / 39) + y2 * ((real)(2. / 715) + y2 * (real)(1. / 135135)));
    vector q = 1 + y2 * ((real)(6. / 13) + y2 * ((real)(10. / 429) + y2 * (real)(4. / 19305)));
    return (Exponential){r.power, y * p, q};
#else
    vector p = 1 + y2 * ((real)-0.333333227 + y2 * ((real)0.133311844 + y2 * (real)-0.0527272699));
    return (Exponential){r.power, y * p, broadcast(1)};
#endif
}

/* (exp(2x) - 1) / (exp(2x) + 1). Near zero, where the power is 1, this form is p / q, which is as
 * accurate as x for every small x. */
INLINE vector tanh_of(vector x)
{
    Exponential e = exp_of_twice(x);
    vector less = e.power - 1, more = e.power + 1;
    return quotient(less * e.q + more * e.p, more * e.q + less * e.p);
}

#ifdef DOUBLE

/* exp(x) / (exp(x) + 1) */
INLINE vector sigmoid(vector x)
{
    Exponential e = exp_of_twice(x / 2);
    vector above = e.power * (e.q + e.p);
    return quotient(above, above + e.q - e.p);
}

#else

/* 1 / (1 + exp(-x)). exp(-y) is the polynomial of its degree with the lowest relative error, 3e-9. */
INLINE vector sigmoid(vector x)
{
    Reduced r = reduce(x, -1);
    vector y = r.y;
    vector exp_y = 1 - y * (1 - y * ((real)0.499999935 - y * ((real)0.166665207
                   - y * ((real)0.0416683874 - y * ((real)0.00836870982
                   - y * (real)0.00138146133)))));
    return quotient(broadcast(1), 1 + r.power * exp_y);
}

#endif
