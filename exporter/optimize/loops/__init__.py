"""Move out of a `Scan` what need not run in every step: loop-invariant code motion, and batching over time.

A loop over a cell with an output layer, as ONNX text (W, U, b and V are weights):

    main (float[N, 4] h0, float[T, N, 3] x, float[4] g) => (float[N, 4] h_n, float[T, N, 2] y) {
        h_n, y = Scan <
            num_scan_inputs = 1,
            body = step (float[N, 4] h, float[N, 3] x_t) => (float[N, 4] h_next, float[N, 2] y_t) {
                R = Mul(U, g)
                p = MatMul(x_t, W)
                q = MatMul(h, R)
                s = Add(p, q)
                a = Add(s, b)
                h_next = Tanh(a)
                o = MatMul(h_next, V)
                y_t = Sigmoid(o)
            }
        > (h0, x)
    }

becomes

    main (float[N, 4] h0, float[T, N, 3] x, float[4] g) => (float[N, 4] h_n, float[T, N, 2] y) {
        R = Mul(U, g)
        p = MatMul(x, W)
        s = Add(p, b)
        h_n, hs = Scan <
            num_scan_inputs = 1,
            body = step (float[N, 4] h, float[N, 4] s_t) => (float[N, 4] h_next, float[N, 4] h_t) {
                a = Gemm(h, R, s_t)
                h_next = Tanh(a)
                h_t = Identity(h_next)
            }
        > (h0, s)
        o = MatMul(hs, V)
        y = Sigmoid(o)
    }

R is loop-invariant, so it is computed once. x_t W + b depends only on the sequence, so it is batched over time before
the loop, once the sum is reordered: one product over all steps replaces T small ones. No later step reads y_t, so it is
batched over time after the loop, from the stacked states. Of eight operators a step two are left, a Gemm and a Tanh,
and a copy, because a body may not return one value twice.
"""
