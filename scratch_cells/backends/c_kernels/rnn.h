/* The RNN. */

#pragma once

#include <math.h>

#include "activations.h"
#include "passes.h"

/* max(0, a), and infinite from ``first_infinite`` on. NaN stays NaN. */
INLINE vector relu_of(vector a, double first_infinite)
{
    a = blend(a >= (real)first_infinite, broadcast(INFINITY), a);
    return blend(a < 0, broadcast(0), a);
}

/* h = tanh(W_ih x + W_hh h + b); with relu, max(0, ...). */
INLINE void rnn_forward_tile(const SequenceArgs *args, Tile tile, int rows, int relu)
{
    Sums a;
    int vectors = vectors_of(tile.n);
    load_projection(args, tile, rows, vectors, a);
    multiply_h(args, tile, rows, vectors, a);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            vector h = relu ? relu_of(a[r][v], args->first_infinite) : tanh_of(a[r][v]);
            store_h(args, tile, r, v, h);
        }
}

/* da = (1 - h²) ⊙ dh; with relu, dh where h > 0, else 0. */
INLINE void rnn_backward_row(const SequenceArgs *args, Tile tile, int relu)
{
    vector h = load(after_ptr(args, tile, 0), tile.n);
    vector dh = load_dh(args, tile);
    vector da = relu ? blend(h > 0, dh, broadcast(0)) : (1 - h * h) * dh;
    store_factors(d_ptr(args, tile), tile.n, da);
    store(dh_ptr(args, tile, 0), tile.n, broadcast(0));
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
    FOR_EACH_THREAD(forward_pass(rnn_tanh_forward_tile, args, share, UNITS))
}

void rnn_tanh_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(rnn_tanh_backward_row, args, share))
}

void rnn_relu_forward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(forward_pass(rnn_relu_forward_tile, args, share, UNITS))
}

void rnn_relu_backward(const SequenceArgs *args)
{
    FOR_EACH_THREAD(backward_pass(rnn_relu_backward_row, args, share))
}
