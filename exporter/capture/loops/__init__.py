"""Reroll Python loops over time into `scan`.

`torch.export` unrolls a Python loop to the example's length. Captures at two lengths, one step apart, show the loop:

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outs = []
        for t in range(x.size(0)):
            h = torch.tanh(x[t] @ self.W + h)
            outs.append(h)
        return torch.stack(outs), h

`reading` lists the operations of each capture, here at T = 3 and T = 4. `repeats` finds the span that repeats: it has a
period of 3 operations, starts at the first one, and is one period longer in the longer capture.

    matmul = matmul(x[0], W)                 matmul = matmul(x[0], W)
    add = add(matmul, h)                     add = add(matmul, h)
    tanh = tanh(add)                         tanh = tanh(add)
    matmul_1 = matmul(x[1], W)               matmul_1 = matmul(x[1], W)
    add_1 = add(matmul_1, tanh)              add_1 = add(matmul_1, tanh)
    tanh_1 = tanh(add_1)                     tanh_1 = tanh(add_1)
    matmul_2 = matmul(x[2], W)               matmul_2 = matmul(x[2], W)
    add_2 = add(matmul_2, tanh_1)            add_2 = add(matmul_2, tanh_1)
    tanh_2 = tanh(add_2)                     tanh_2 = tanh(add_2)
    stack = stack([tanh, tanh_1, tanh_2])    matmul_3 = matmul(x[3], W)
    return stack, tanh_2                     add_3 = add(matmul_3, tanh_2)
                                             tanh_3 = tanh(add_3)
                                             stack = stack([tanh, tanh_1, tanh_2, tanh_3])
                                             return stack, tanh_3

`alignment` compares the steps: by position in the step, what each operand is in all steps of both captures.

    0  matmul  ScanInput(x, dim=0, start=0, stride=1), Invariant(W)
    1  add     Local(0), LoopCarried(2, initial=h)
    2  tanh    Local(1)

`live_out` finds what is used outside the loop: of position 2 all steps, and the last one. `scan` writes one step as the
body of a `scan`, and `outer_graph` the rest (without the clones that PyTorch needs):

    loop_0(carry_0, x_0, invariant_0):
        matmul = matmul(x_0, invariant_0)
        add = add(matmul, carry_0)
        tanh = tanh(add)
        return tanh, tanh

    scan = scan(loop_0, [h], [x], [W])
    return scan[1], scan[0]

`rerolling` does all this for one dynamic size of the signature after the other.
"""
