"""Capture loops and decisions as such: the source of the model is rewritten, and a step has a symbolic number.

`torch.export` runs Python, which has unrolled a loop before anybody sees it. So the source of `forward`, and of
whatever it calls, is rewritten before it runs (`rewrite_model`, `rewriting`, and `exits` for `break`, `continue`
and `return`):

    def forward(self, x, h):
        outs = []
        for t in range(x.size(0)):
            h = torch.tanh(x[t] @ self.W + h)
            outs.append(h)
        return torch.stack(outs), h

Each statement, call and subscript now asks `flow` (`calls` for functions, `series` for what is looped over):

    def forward(self, x, h):
        t = flow.UNDEFINED
        outs = []
        def _target_1(_item):
            nonlocal t
            t = _item
        def _body_1():
            nonlocal h
            h = flow.call(torch.tanh)(flow.add(flow.getitem(x, t) @ self.W, h))
            flow.call(outs.append)(h)
        def _set_1(_values):
            nonlocal h
            h, = _values
        flow.for_(flow.call(range)(flow.call(x.size)(0)), _target_1, _body_1, None,
                  ('h',), lambda: (h,), _set_1, ('t',))
        return (flow.call(torch.stack)(outs), h)

With plain values Python goes its own way. Here T is symbolic: `loops` runs the body with a symbolic `t`,
unrecorded, and compares what is in every variable, attribute and container before and after (`state`, `values`),
and which tensors were read and written (`region`). `h` is another tensor of the same shape: it is loop-carried.
`outs` has one item more: it is what the steps put out. Then one step is recorded between marks (`operators`), and
`endings` puts what the loop leaves where the user's code expects it. The captured graph stays flat, and every other
stage of a capture sees one graph:

    size = sym_size(x, 0)
    step = step(size)
    item = item(step)
    carry = carry(h)
    select = select(x, 0, item)
    matmul = matmul(select, W)
    add = add(matmul, carry)
    tanh = tanh(add)
    final = final(carry, tanh)
    close = close(step, [final])
    leave = leave(final, close)
    collect = collect(tanh, close, size)
    return collect, leave

`lowering/control_flow.py` makes what depends on `step` and `carry` the body of a `Scan`, or of a `Loop` if a value
stops it, and gives it sequences to read in place of `select`. What does not depend on the state then leaves the
body (`optimize/loops`), where `x_0` is the element of `MatMul(x, W)`:

    loop_1(carry, x_0):
        Add
        Tanh

A decision (`branches`) runs both ways, unless it is so for every size, and each value that differs after them is
`choose(condition, a, b)`: what only one side of it needs is a branch of an `If`. Where that fails, decisions by sizes
are made before the model runs (`paths`, `facts`), and each way through it is run apart. What cannot be done says why
(`refusals`).
"""
