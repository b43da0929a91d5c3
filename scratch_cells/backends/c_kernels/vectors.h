/* Vectors of float or double, and how many of them a tile has.
 *
 * Vectors are GCC's vector extension: operators work on each lane, a cast between two vector types
 * keeps the bits, and a comparison gives a lane of ones where it is true and of zeros elsewhere.
 */

#pragma once

#include <stdint.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t integer;
#else
typedef float real;
typedef int32_t integer;
#endif

/* Register blocking: a tile accumulates ROWS x VECTORS vectors. A processor has 32 vector registers
 * with AVX-512 and with NEON, and 16 with AVX2. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define HAS_32_REGISTERS
#endif
#if defined(__AVX512F__)
enum { BYTES = 64, ROWS = 6, VECTORS = 4 };
#elif defined(__aarch64__)
enum { BYTES = 16, ROWS = 6, VECTORS = 4 };
#else
enum { BYTES = 32, ROWS = 3, VECTORS = 4 };
#endif
enum { LANES = BYTES / sizeof(real) };
typedef real vector __attribute__((vector_size(BYTES)));
typedef integer integers __attribute__((vector_size(BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 8") for

/* Load min(n, LANES) elements; the other lanes are 0. */
INLINE vector load(const real *from, int64_t n)
{
    if (n >= LANES) {                       /* a variable of its own stays in a register */
        vector whole;
        memcpy(&whole, from, BYTES);
        return whole;
    }
    vector x = {0};
    if (n > 0)
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

/* Lanes of a and b, by their indices in both. clang has no function for indices in a vector. */
INLINE vector shuffle(vector a, vector b, integers lanes)
{
#ifdef __clang__
    vector x = a;
    for (int i = 0; i < LANES; i++)
        x[i] = lanes[i] < LANES ? a[lanes[i]] : b[lanes[i] - LANES];
    return x;
#else
    return __builtin_shuffle(a, b, lanes);
#endif
}

#define UNROLLED_LANES _Pragma("GCC unroll 16") for

/* For two vectors: the indices of the first or the second half of every group of 2 * width lanes, of
 * the first vector and then of the second. */
INLINE integers halves(int width, int second)
{
    integers lanes;
    UNROLLED_LANES (int lane = 0; lane < LANES; lane++) {
        int group = lane / (2 * width) * 2 * width, place = lane - group;
        lanes[lane] = group + place % width + second * width + (place < width ? 0 : LANES);
    }
    return lanes;
}

/* Transpose LANES vectors: swap the halves of ever wider groups of lanes between two vectors. */
INLINE void transpose(vector *a)
{
    UNROLLED (int width = 1; width < LANES; width *= 2)
        UNROLLED_LANES (int i = 0; i < LANES; i++)
            if (!(i & width)) {
                vector first = shuffle(a[i], a[i + width], halves(width, 0));
                a[i + width] = shuffle(a[i], a[i + width], halves(width, 1));
                a[i] = first;
            }
}

/* a where the mask is ones, b where it is zeros. */
INLINE vector blend(integers where, vector a, vector b)
{
    return (vector)((where & (integers)a) | (~where & (integers)b));
}
