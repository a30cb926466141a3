"""Bodies at random: whatever leaves the loop, the results stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from graphs import check_same, parse
from hypothesis import given
from hypothesis import strategies as st

N, H = 2, 3
UNARY = ["Tanh", "Sigmoid", "Neg", "Identity", "Softmax <axis = 1>", "Softmax <axis = 0>", "LayerNormalization"]
BINARY = ["Add", "Add", "Sub", "Mul", "Max"]
ATTRIBUTES = ["scan_input_directions", "scan_output_directions"]


@dataclass
class Body:
    """Text of nodes, and the values of each kind that they give."""

    lines: list[str]
    matrices: list[str]
    vectors: list[str]

    def add(self, text: str, kind: str = "matrix") -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        (self.vectors if kind == "vector" else self.matrices).append(name)


def _apply(body: Body, kind: str, draw: st.DrawFn) -> None:
    x, y = (draw(st.sampled_from(body.matrices)) for _ in range(2))
    if kind == "unary":
        op, _, attributes = draw(st.sampled_from(UNARY)).partition(" ")
        body.add(f"{op} {attributes} ({x}{', w' if op == 'LayerNormalization' else ''})")
    elif kind == "binary":
        body.add(f"{draw(st.sampled_from(BINARY))}({x}, {y})")
    elif kind == "vector":
        body.add(f"{draw(st.sampled_from(BINARY))}({x}, {draw(st.sampled_from(body.vectors))})")
    elif kind == "product":
        body.add(f"MatMul({x}, {draw(st.sampled_from(['A', 'B']))})")
    elif kind == "gemm":
        body.add(f"Gemm <transB = 1> ({x}, C, w)")
    elif kind == "mean":
        body.add(f"ReduceMean <keepdims = 0> ({x}, first)", "vector")
    elif kind == "joined":
        both = f"j{len(body.lines)}"
        body.lines.append(f"{both} = Concat <axis = {draw(st.sampled_from([1, -1]))}> ({x}, {y})")
        body.add(f"MatMul({both}, J)")
    elif kind == "split":
        wide, left, right = (f"{name}{len(body.lines)}" for name in ("wide", "left", "right"))
        body.lines.append(f"{wide} = MatMul({x}, S)  {left}, {right} = Split <axis = 1, num_outputs = 2> ({wide})")
        body.add(f"Mul({left}, {right})")
    else:
        body.add(f"Transpose <perm = [1, 0]> ({x})", "unused")
        turned = body.matrices.pop()
        body.add(f"MatMul(L, {turned})", "unused")
        body.add(f"Transpose <perm = [1, 0]> ({body.matrices.pop()})")


KINDS = ["unary", "binary", "vector", "product", "gemm", "mean", "joined", "split", "left"]


@st.composite
def loops(draw: st.DrawFn) -> str:
    body = Body([], ["s", "r", "e", "f"], ["w"])
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=3, max_size=14)):
        _apply(body, kind, draw)
    made = [name for name in body.matrices if name.startswith("v")] or ["s"]
    picks = [draw(st.sampled_from(made)) for _ in range(4)]
    ends = "  ".join(
        f"{name} = {op}({pick})"
        for name, op, pick in zip("abyz", ["Tanh", "Tanh", "Identity", "Identity"], picks, strict=True)
    )
    ways = [draw(st.sampled_from(["[0, 0]", "[1, 1]", "[0, 1]"])) for _ in ATTRIBUTES]
    axes = draw(st.sampled_from([0, 1]))
    attributes = ", ".join(f"{name} = {way}" for name, way in zip(ATTRIBUTES, ways, strict=True))
    shape = f"T, {N}, {H}" if axes == 0 else f"{N}, T, {H}"
    size = f"float[{N}, {H}]"
    return f"""main ({size} s0, {size} r0, float[{shape}] x, float[T, {N}, {H}] u) => (s_n, r_n, ys, zs) {{
        s_n, r_n, ys, zs = Scan <num_scan_inputs = 2, scan_input_axes = [{axes}, 0], {attributes},
                body = step ({size} s, {size} r, {size} e, {size} f) => ({size} a, {size} b, {size} y, {size} z) {{
            first = Constant <value = int64[1] {{0}}> ()
            {" ".join(body.lines)} {ends}
        }}> (s0, r0, x, u)
    }}"""


SHAPES = {"A": (H, H), "B": (H, H), "C": (H, H), "J": (2 * H, H), "S": (H, 2 * H), "L": (H, H), "w": (H,)}


@given(loops(), st.sampled_from([1, 2, 5]), st.integers(0, 100))
def test_whatever_leaves_the_loop(text: str, length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = {name: random.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in SHAPES.items()}
    x = (length, N, H) if f"T, {N}, {H}] x" in text else (N, length, H)
    sizes = {"s0": (N, H), "r0": (N, H), "x": x, "u": (length, N, H)}
    inputs = {name: random.uniform(-1, 1, shape).astype(np.float32) for name, shape in sizes.items()}
    check_same(parse(text, weights), inputs)
