/* σ and tanh of a vector, with one exponential and one quotient each. */

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

/* exp(2x) = power (q + p) / (q - p), without the division, so that σ and tanh divide only once. */
typedef struct {
    vector power, p, q;
} Exponential;

/* 2x = n ln 2 + 2y with |2y| <= ln 2 / 2, the power is 2^n, and p / q = tanh y, for exp(2y) =
 * (1 + tanh y) / (1 - tanh y).
 *
 * In double, tanh y is Lambert's continued fraction y / (1 + y²/(3 + y²/(5 + ...))) up to the 13
 * (J. H. Lambert, 1768); its relative error is below 1e-19. In float it is the Taylor polynomial up
 * to y⁹, with q = 1; its relative error is below 3e-10. */
INLINE Exponential exp_of_twice(vector x)
{
    /* exp(87) is finite in float, exp(89) is not */
    x = clamp(x, MAX_EXPONENT / (real)2);

    /* Magic constant: adding it rounds to the nearest integer. */
    vector rounder = broadcast(3LL << (MANTISSA_BITS - 1));
    vector rounded = x * (real)2.885390081777926814 + rounder;
    vector n = rounded - rounder;
    vector y = x - n * (LN2_HIGH / 2) - n * (LN2_LOW / 2);
    integers exponent = (integers)rounded - (integers)rounder + EXPONENT_BIAS;
    vector power = (vector)(exponent << MANTISSA_BITS);

    vector y2 = y * y;
#ifdef DOUBLE
    vector p = 1 + y2 * ((real)(5. / 39) + y2 * ((real)(2. / 715) + y2 * (real)(1. / 135135)));
    vector q = 1 + y2 * ((real)(6. / 13) + y2 * ((real)(10. / 429) + y2 * (real)(4. / 19305)));
    return (Exponential){power, y * p, q};
#else
    vector p = 1 + y2 * ((real)(-1. / 3) + y2 * ((real)(2. / 15)
                   + y2 * ((real)(-17. / 315) + y2 * (real)(62. / 2835))));
    return (Exponential){power, y * p, broadcast(1)};
#endif
}

/* exp(x) / (exp(x) + 1) */
INLINE vector sigmoid(vector x)
{
    Exponential e = exp_of_twice(x / 2);
    vector above = e.power * (e.q + e.p);
    return quotient(above, above + e.q - e.p);
}

/* (exp(2x) - 1) / (exp(2x) + 1). Near zero, where the power is 1, this form is p / q, which is as
 * accurate as x for every small x. */
INLINE vector tanh_of(vector x)
{
    Exponential e = exp_of_twice(x);
    vector less = e.power - 1, more = e.power + 1;
    return quotient(less * e.q + more * e.p, more * e.q + less * e.p);
}
