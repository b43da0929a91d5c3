/* Factors: what a product multiplies, x, h, d and the weights. They are real, or bfloat16.
 *
 * With -DBFLOAT16 they are bfloat16, the upper half of a float, and everything else is float: an
 * instruction of AVX512_BF16 multiplies two factors a lane and adds both products to a float. So
 * factors are multiplied in groups of GROUP, neighbours in memory. In a panel of weights a group
 * has the neighbours of the depth; the last group of an odd depth is filled up with zero.
 */

#pragma once

#include "vectors.h"

#ifdef BFLOAT16

#include <immintrin.h>

typedef uint16_t stored;
enum { GROUP = 2 };
typedef integers factors;                   /* a group of factors in each lane */

/* Load min(n, LANES) factors, each in the lower half of a lane; the other lanes are 0. */
INLINE factors load_factors(const stored *from, int64_t n)
{
    __m256i x = _mm256_setzero_si256();
    if (n >= LANES) {                       /* a variable of its own stays in a register */
        __m256i whole;
        memcpy(&whole, from, sizeof(whole));
        return (factors)_mm512_cvtepu16_epi32(whole);
    }
    if (n > 0)
        memcpy(&x, from, n * sizeof(stored));
    return (factors)_mm512_cvtepu16_epi32(x);
}

/* Round to bfloat16: a factor in the lower half of each lane. */
INLINE factors rounded(vector x)
{
    __m256bh halves = _mm512_cvtneps_pbh((__m512)x);
    return (factors)_mm512_cvtepu16_epi32((__m256i)halves);
}

/* The factor in the lower half of each lane. */
INLINE vector widened(factors x)
{
    return (vector)(x << 16);
}

/* Round min(n, LANES) elements to bfloat16 and store them. */
INLINE void store_factors(stored *to, int64_t n, vector x)
{
    __m256bh halves = _mm512_cvtneps_pbh((__m512)x);
    if (n >= LANES)
        memcpy(to, &halves, sizeof(halves));
    else if (n > 0)
        memcpy(to, &halves, n * sizeof(stored));
}

/* A panel's groups of factors in each lane. */
INLINE factors load_groups(const stored *from)
{
    factors groups;
    memcpy(&groups, from, BYTES);
    return groups;
}

/* The groups of a factor of a and one of b in each lane. */
INLINE factors join(factors a, factors b)
{
    return a | b << 16;
}

/* The group of n <= GROUP factors from ``from`` on, in every lane. */
INLINE factors broadcast_group(const stored *from, int n)
{
    integer group = 0;
    memcpy(&group, from, n * sizeof(stored));
    return (factors)_mm512_set1_epi32(group);
}

/* sum + the products of the groups */
INLINE vector add_products(vector sum, factors a, factors b)
{
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

#else

typedef real stored;
enum { GROUP = 1 };
typedef vector factors;

INLINE factors load_factors(const stored *from, int64_t n)
{
    return load(from, n);
}

INLINE factors rounded(vector x)
{
    return x;
}

INLINE vector widened(factors x)
{
    return x;
}

INLINE void store_factors(stored *to, int64_t n, vector x)
{
    store(to, n, x);
}

INLINE factors load_groups(const stored *from)
{
    return load(from, LANES);
}

INLINE factors join(factors a, factors b)
{
    (void)b;                                /* a group has one factor */
    return a;
}

INLINE factors broadcast_group(const stored *from, int n)
{
    (void)n;                                /* always 1 */
    return broadcast(*from);
}

INLINE vector add_products(vector sum, factors a, factors b)
{
    return sum + a * b;
}

#endif

/* The depth of a panel, in whole groups. */
INLINE int64_t padded(int64_t depth)
{
    return (depth + GROUP - 1) / GROUP * GROUP;
}
