/* How threads share the work. */

#pragma once

#include "rows.h"

/* The functions of OpenMP. A compiler need not have its header. */
int omp_get_thread_num(void);
int omp_get_num_threads(void);

/* The work of one thread.
 *
 * Threads share the rows: each computes all steps for rows ``from`` to ``to``, and never waits for
 * another thread. Or, if there are few rows or the weights are large, they share the units: each
 * computes all rows for its part of the columns of every product, so that it reads only a part of
 * the weights. Then all threads wait for each other in each step. */
typedef struct {
    int64_t from, to, part, parts;
} Share;

/* The first row of part i of ``parts``. Each part has about the same number of rows of all steps in
 * total; packed sequences are sorted, the longest first. */
static int64_t first_row_of_part(const SequenceArgs *args, int64_t i, int64_t parts)
{
    if (!args->offsets)
        return args->B * i / parts;
    int64_t share = first_row(args, args->T) * i / parts;
    int64_t row = 0, steps = 0, length = args->T;
    for (; row < args->B && steps < share; row++) {
        while (length > 0 && rows_of_step(args, length - 1) <= row)
            length--;
        steps += length;
    }
    return i == parts ? args->B : row;
}

/* The share of the thread that calls this, in a parallel region. */
static Share own_share(const SequenceArgs *args)
{
    int64_t i = omp_get_thread_num(), threads = omp_get_num_threads();
    if (args->share_units)
        return (Share){0, args->B, i, threads};
    return (Share){first_row_of_part(args, i, threads), first_row_of_part(args, i + 1, threads),
                   0, 1};
}

/* The first of ``size`` columns in part i, a multiple of ``multiple``. */
INLINE int64_t first_column(Share share, int64_t i, int64_t size, int64_t multiple)
{
    int64_t whole = (size + multiple - 1) / multiple;
    return min(size, whole * i / share.parts * multiple);
}

/* For each panel of the share, of ``size`` columns in panels of ``multiple`` columns. */
#define FOR_EACH_PANEL(column, share, size, multiple)                                              \
    for (int64_t column = first_column(share, share.part, size, multiple),                         \
                 end_##column = first_column(share, share.part + 1, size, multiple);               \
         column < end_##column; column += multiple)

/* The rows of the share in step t. */
INLINE int64_t rows_of_share(const SequenceArgs *args, Share share, int64_t t)
{
    return max(0, min(share.to, rows_of_step(args, t)) - share.from);
}

/* Wait until the threads that share the units have arrived here. */
INLINE void wait_for_threads(Share share)
{
    if (share.parts > 1) {
        _Pragma("omp barrier")
    }
}

/* Each thread runs ``pass`` with its share. */
#define FOR_EACH_THREAD(pass)                                                                      \
    _Pragma("omp parallel num_threads(args->threads)")                                             \
    {                                                                                              \
        Share share = own_share(args);                                                             \
        pass;                                                                                      \
    }
