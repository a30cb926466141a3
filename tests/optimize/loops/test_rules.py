"""Loops by hand: each rule where it is easily got wrong, in ONNX Runtime and in the reference evaluator."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import bodies, check_same, kinds, parse
from rnn_export import Signature

RANDOM = np.random.default_rng(0)


def _weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def _inputs(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return _weights(**shapes)


def _loop(body: str, attributes: str = "", head: str = "float[T, 2, 3] x", element: str = "float[2, 3] e") -> str:
    """A loop of one state [2, 4] over one sequence, whose steps are stacked as y."""
    return f"""main (float[2, 4] s0, {head}) => (float[2, 4] s_n, y) {{
        s_n, y = Scan <num_scan_inputs = 1{attributes},
                body = step (float[2, 4] s, {element}) => (float[2, 4] s_after, out) {{
            {body}
        }}> (s0, x)
    }}"""


PLAIN = (
    """p = MatMul(e, W)  q = MatMul(s, R)  a = Add(p, q)  b = Add(a, c)  s_after = Tanh(b)  out = MatMul(s_after, Q)"""
)
WEIGHTS = _weights(W=(3, 4), R=(4, 4), c=(4,), Q=(4, 2))


@pytest.mark.parametrize("length", [1, 2, 17])
@pytest.mark.parametrize(
    "attributes",
    [
        "",
        ", scan_input_directions = [1], scan_output_directions = [1]",
        ", scan_input_directions = [1]",
        ", scan_output_directions = [1]",
        ", scan_output_axes = [1]",
        ", scan_output_axes = [-1]",
    ],
)
def test_products_leave_the_loop(attributes: str, length: int) -> None:
    after = check_same(parse(_loop(PLAIN, attributes), WEIGHTS), _inputs(s0=(2, 4), x=(length, 2, 3)))
    (body,) = bodies(after)
    assert kinds(body) == ["Gemm", "Tanh", "Identity"]
    assert kinds(after.graph)[:3] == ["MatMul", "Add", "Scan"]
    assert "MatMul" in kinds(after.graph)[3:]


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_a_sequence_along_another_axis(axis: int) -> None:
    shape = [2, 3]
    shape.insert(axis % 3, 5)
    text = _loop(PLAIN, f", scan_input_axes = [{axis}]", head=f"float{shape} x")
    after = check_same(parse(text, WEIGHTS), _inputs(s0=(2, 4), x=tuple(shape)))
    assert kinds(bodies(after)[0]) == ["Gemm", "Tanh", "Identity"]


# Bodies over the element e [2, 3] and the state s [2, 4], all of whose own nodes leave the loop.
WHOLE = {
    "a vector to a matrix": "v = Constant <value = float[4] {1, 2, 3, 4}> () p = MatMul(e, W) u = Add(p, v)",
    "an element of lower rank": """
        ends = Constant <value = int64[1] {1}> () ax = Constant <value = int64[1] {1}> ()
        m = ReduceMean <keepdims = 0> (e, ax) w = MatMul(e, W) t = Transpose <perm = [1, 0]> (w)
        z = Add(t, m) u = Transpose <perm = [1, 0]> (z)""",
    "all axes": "m = ReduceSum <keepdims = 0> (e) w = MatMul(e, W) u = Mul(w, m)",
    "axes from the front": """
        ax = Constant <value = int64[1] {0}> () m = ReduceMax <keepdims = 1> (e, ax)
        d = Sub(e, m) x1 = Softmax <axis = 0> (d) u = MatMul(x1, W)""",
    "normalised": "n = LayerNormalization <axis = 1> (e, g) u = MatMul(n, W)",
    "cut and joined": """
        one = Constant <value = int64[1] {1}> () three = Constant <value = int64[1] {3}> ()
        two = Slice(e, one, three, one) f, l = Split <axis = 1, num_outputs = 2> (e)
        j = Concat <axis = 1> (l, two) u = MatMul(j, W)""",
    "cut along the first axes": """
        start = Constant <value = int64[2] {0, 0}> () end = Constant <value = int64[2] {2, 2}> ()
        cut = Slice(e, start, end) i = Constant <value = int64[3] {0, 1, 0}> ()
        j = Gather <axis = 1> (cut, i) u = MatMul(j, W)""",
    "reshaped": """
        s1 = Constant <value = int64[2] {3, -1}> () s2 = Constant <value = int64[2] {2, 3}> ()
        r = Reshape(e, s1) n = Neg(r) b = Reshape(n, s2) u = MatMul(b, W)""",
    "a zero in the shape": """
        s1 = Constant <value = int64[3] {0, 3, 1}> () ax = Constant <value = int64[1] {-1}> ()
        r = Reshape(e, s1) q = Squeeze(r, ax) u = MatMul(q, W)""",
    "a matrix of weights on the left": """
        t = Transpose <perm = [1, 0]> (e) l = MatMul(V, t) u = Transpose <perm = [1, 0]> (l)""",
    "elements by elements": """
        t = Transpose <perm = [1, 0]> (e) g2 = MatMul(e, t) h = MatMul(g2, e) u = MatMul(h, W)""",
    "chosen": "z = Constant <value = float {0}> () k = Greater(e, z) w = Where(k, e, z) u = MatMul(w, W)",
    "largest": """
        i = ArgMax <axis = 0, keepdims = 0> (e) f = Cast <to = 1> (i) w = Add(e, f) u = MatMul(w, W)""",
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_follows_from_elements_leaves_the_loop(name: str) -> None:
    body = f"{WHOLE[name]}  a = Add(u, s)  s_after = Tanh(a)  out = Identity(s_after)"
    weights = WEIGHTS | _weights(g=(3,), V=(4, 3))
    after = check_same(parse(_loop(body), weights), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert kinds(bodies(after)[0]) == ["Add", "Tanh", "Identity"]
    assert len(bodies(after)[0].inputs) == 2


def test_a_broadcast_stays_in_the_loop() -> None:
    """It would be read from memory, four times as large, instead of being computed in the cache."""
    body = "u = Mul(e, c) a = Add(u, s) s_after = Tanh(a) out = Identity(s_after)"
    text = _loop(body, head="float[T, 2, 1] x", element="float[2, 1] e")
    after = check_same(parse(text, WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 1)))
    assert "Mul" in kinds(bodies(after)[0])


def test_random_numbers_stay_in_the_loop() -> None:
    body = """noise = RandomNormal <shape = [2, 4], seed = 1.0> () z = Sub(noise, noise)
        a = Add(s, z) s_after = Tanh(a) out = Identity(s_after)"""
    after = check_same(parse(_loop(body), WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert "RandomNormal" in kinds(bodies(after)[0])


def test_products_of_weights_are_folded() -> None:
    body = (
        "K = MatMul(R, R) t = Transpose <perm = [1, 0]> (K) a = MatMul(s, t) s_after = Tanh(a) out = Identity(s_after)"
    )
    after = check_same(parse(_loop(body), WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert kinds(after.graph) == ["Scan"]


def test_a_product_of_an_input_is_computed_once() -> None:
    text = """main (float[2, 4] s0, float[T, 2, 3] x, float[4, 4] M) => (s_n) {
        s_n = Scan <num_scan_inputs = 1, body = step (float[2, 4] s, float[2, 3] e) => (float[2, 4] s_after) {
            K = MatMul(M, R) a = MatMul(s, K) p = MatMul(e, W) b = Add(a, p) s_after = Tanh(b)
        }> (s0, x)
    }"""
    after = check_same(parse(text, WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3), M=(4, 4)))
    assert kinds(after.graph) == ["MatMul", "MatMul", "Scan"]


@pytest.mark.parametrize("order", ["e, s", "s, e", "e, s, e"])
def test_a_product_of_what_is_joined_is_parted(order: str) -> None:
    width = {"e": 3, "s": 4}
    weights = WEIGHTS | _weights(J=(sum(width[part] for part in order.split(", ")), 4))
    body = f"j = Concat <axis = -1> ({order}) p = MatMul(j, J) b = Add(p, c) s_after = Tanh(b) out = Identity(s_after)"
    after = check_same(parse(_loop(body), weights), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert kinds(bodies(after)[0]) == ["Gemm", "Tanh", "Identity"]


def test_a_gemm_is_parted_and_its_weight_turned() -> None:
    body = """j = Concat <axis = 1> (e, s) p = Gemm <transB = 1> (j, J, c)
        s_after = Tanh(p) out = Gemm <transB = 1> (s_after, B)"""
    weights = WEIGHTS | _weights(J=(4, 7), B=(2, 4))
    after = check_same(parse(_loop(body), weights), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert kinds(bodies(after)[0]) == ["Gemm", "Tanh", "Identity"]


def test_a_weight_that_is_needed_as_it_is_stays() -> None:
    """A tied weight would else be stored twice."""
    text = """main (float[2, 4] s0, float[T, 2, 3] x, int64[2] i) => (s_n, y, rows) {
        rows = Gather(B, i)
        s_n, y = Scan <num_scan_inputs = 1, body = step (float[2, 4] s, float[2, 3] e) => (float[2, 4] s_after, out) {
            p = MatMul(e, W) a = Add(s, p) s_after = Tanh(a) out = Gemm <transB = 1> (s_after, B)
        }> (s0, x)
    }"""
    inputs = _inputs(s0=(2, 4), x=(5, 2, 3)) | {"i": np.array([1, 0])}
    after = check_same(parse(text, WEIGHTS | _weights(B=(6, 4))), inputs)
    assert [name for name, value in after.graph.initializers.items() if value.const_value.size == 24] == ["B"]


def test_a_product_that_is_split_is_parted() -> None:
    body = """p = MatMul(s, G) q = MatMul(e, F) a = Add(p, q) b = Add(a, d) l, r = Split <axis = 1, num_outputs = 2> (b)
        t = Sigmoid(r) s_after = Mul(l, t) out = Identity(s_after)"""
    weights = _weights(G=(4, 8), F=(3, 8), d=(8,))
    after = check_same(parse(_loop(body), weights), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert kinds(bodies(after)[0]) == ["Gemm", "Gemm", "Sigmoid", "Mul", "Identity"]


def test_a_value_carried_and_put_out_and_read_twice() -> None:
    text = """main (float[2, 4] s0, float[T, 2, 3] x) => (s_n, y, z, w) {
        s_n, y, z = Scan <num_scan_inputs = 1, body = step (float[2, 4] s, float[2, 3] e)
                => (float[2, 4] s_after, out, h) {
            p = MatMul(e, W) q = MatMul(s, R) a = Add(p, q) s_after = Tanh(a) h = Identity(s_after) l = MatMul(h, Q)
            out = Sigmoid(l)
        }> (s0, x)
        two = Add(y, y) w = Relu(two)
    }"""
    after = check_same(parse(text, WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3)))
    (body,) = bodies(after)
    assert len(body.outputs) == 2
    assert kinds(body) == ["Gemm", "Tanh", "Identity"]


def test_a_step_that_depends_on_elements_alone() -> None:
    body = "p = MatMul(e, W) a = Add(p, s) s_after = Tanh(a) out = Relu(p)"
    check_same(parse(_loop(body), WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3)))


def test_a_state_that_is_not_changed() -> None:
    body = "p = MatMul(e, W) a = Add(p, s) s_after = Identity(s) out = MatMul(a, Q)"
    check_same(parse(_loop(body), WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3)))


def test_two_directions_meet_in_the_loop() -> None:
    text = """main (float[2, 4] s0, float[T, 2, 3] x) => (s_n, y) {
        s_n, y = Scan <num_scan_inputs = 2, scan_input_directions = [0, 1],
                body = step (float[2, 4] s, float[2, 3] e, float[2, 3] f) => (float[2, 4] s_after, out) {
            both = Add(e, f) p = MatMul(both, W) q = MatMul(f, W) a = Add(p, q) b = Add(a, s)
            s_after = Tanh(b) d = Add(s_after, q) out = MatMul(d, Q)
        }> (s0, x, x)
    }"""
    after = check_same(parse(text, WEIGHTS), _inputs(s0=(2, 4), x=(5, 2, 3)))
    assert kinds(bodies(after)[0]).count("MatMul") + kinds(bodies(after)[0]).count("Gemm") == 1


def test_a_loop_in_a_loop() -> None:
    """Of the inner loop over rows, the product leaves both loops."""
    text = """main (float[4] s0, float[T, 5, 3] x) => (s_n, y) {
        s_n, y = Scan <num_scan_inputs = 1, body = outer (float[4] s, float[5, 3] e) => (float[4] s_after, out) {
            s_after, z = Scan <num_scan_inputs = 1, body = inner (float[4] r, float[3] f) => (float[4] r_after, g) {
                p = MatMul(f, W) a = Add(p, r) r_after = Tanh(a) g = Identity(r_after)
            }> (s, e)
            out = MatMul(z, Q)
        }> (s0, x)
    }"""
    after = check_same(parse(text, WEIGHTS), _inputs(s0=(4,), x=(6, 5, 3)))
    assert not any("MatMul" in kinds(body) for body in bodies(after))
    assert kinds(after.graph) == ["MatMul", "Scan", "MatMul"]


ONE_HOT = """main (float[2, 4] s0, int64[T, 2] x) => (s_n) {
    s_n = Scan <num_scan_inputs = 1, body = step (float[2, 4] s, int64[2] e) => (float[2, 4] s_after) {
        ax = Constant <value = int64[1] {-1}> () k = Constant <value = int64[3] {0, 1, 2}> ()
        u = Unsqueeze(e, ax) h = Equal(u, k) f = Cast <to = 1> (h) p = MatMul(f, W) a = Add(p, s) s_after = Tanh(a)
    }> (s0, x)
}"""


@pytest.mark.parametrize(("high", "gathers"), [(2, True), (3, False)])
def test_one_hot_is_a_gather_where_no_index_lies_outside(high: int, gathers: bool) -> None:
    signature = Signature({"s0": "float32[2, 4]", "x": f"int64[T, 2] in 0..{high}"})
    inputs = _inputs(s0=(2, 4)) | {"x": RANDOM.integers(0, high + 1, (9, 2))}
    after = check_same(parse(ONE_HOT, WEIGHTS), inputs, signature)
    assert ("Gather" in kinds(after.graph)) is gathers


def test_one_hot_by_infinity_stays() -> None:
    """Zero times infinity is NaN, which a Gather would not give."""
    weights = WEIGHTS | {"W": np.array([[np.inf, 0, 0, 0]] * 3, np.float32)}
    signature = Signature({"s0": "float32[2, 4]", "x": "int64[T, 2] in 0..2"})
    after = check_same(parse(ONE_HOT, weights), _inputs(s0=(2, 4)) | {"x": np.array([[0, 1]])}, signature)
    assert "Gather" not in kinds(after.graph) + kinds(bodies(after)[0])
