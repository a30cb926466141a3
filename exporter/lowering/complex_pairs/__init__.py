"""Rewrite a captured program so that each complex tensor is two real ones: ONNX has no operators on complex numbers.

    z = complex(a, b)               a, b
    y = z * z                       re = a * a - b * b;  im = a * b + b * a
    abs(y), y.real                  hypot(re, im), re

`rewriting` walks the graph, and those of its loops; `rules` says what each operator becomes.
"""
