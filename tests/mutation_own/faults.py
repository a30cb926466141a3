"""The faults: what is wrong, where, the text that is replaced and by what, and the tests that should find it first.

A place is a file of `exporter/`, or a folder of it, in which the old text stands exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault; `tests` are paths below `tests/`, tried before all others."""

    name: str
    place: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = (
    # Lowering: what a layer computes.
    Fault(
        "two gates of an LSTM swapped",
        "lowering",
        '"lstm": (0, 3, 1, 2)',
        '"lstm": (0, 3, 2, 1)',
        ("lowering/test_native.py",),
    ),
    Fault(
        "a GRU's reset gate applied before the product",
        "lowering",
        '"linear_before_reset"] = 1',
        '"linear_before_reset"] = 0',
        ("lowering/test_native.py",),
    ),
    Fault(
        "one of two biases forgotten in a Scan",
        "lowering",
        'given["bias_ih"] + given["bias_hh"]',
        'given["bias_ih"]',
        ("lowering/test_scan.py",),
    ),
    Fault(
        "the second direction of a Scan reads forwards",
        "lowering",
        '"scan_input_directions": [direction]',
        '"scan_input_directions": [0]',
        ("lowering/test_scan.py",),
    ),
    Fault(
        "every layer of a Scan starts from the first one's state",
        "lowering",
        "layer.index * stack.num_directions + direction",
        "direction",
        ("lowering/test_scan.py",),
    ),
    Fault(
        "a sequence takes one step beyond its length",
        "lowering",
        'op("Less",',
        'op("LessOrEqual",',
        ("lowering/test_matrix.py", "lowering/test_ragged.py"),
    ),
    Fault(
        "what lies beyond a sequence's end taken for zero",
        "lowering",
        "Padded(padded, is_zero_beyond=False)",
        "Padded(padded, is_zero_beyond=True)",
        ("lowering/test_ragged.py",),
    ),
    # Capture and optimization: what a graph keeps.
    Fault(
        "an initial state of ones dropped as if it were zero",
        "capture",
        "bool(node.args[_FILLED[node.target]] == 0)",
        "True",
        ("optimize/test_stateful.py",),
    ),
    Fault(
        "a loop from the end rolled as one from the start",
        "capture/loops",
        "if a.stride == -1:",
        "if a.stride == -2:",
        ("capture/loops/test_loops.py",),
    ),
    Fault(
        "another opset declared and nothing converted",
        "optimize",
        "version_converter.convert_version(model, opset, fallback=True)",
        'model.opset_imports[""] = opset',
        ("optimize/test_opset.py",),
    ),
    Fault(
        "int8 weights rounded down",
        "optimize",
        "np.clip(np.rint(",
        "np.clip(np.floor(",
        ("optimize/test_quantization.py",),
    ),
    # Parity: what counts as right.
    Fault(
        "only errors upwards counted",
        "parity/compare.py",
        "np.where(finite, np.abs(",
        "np.where(finite, np.positive(",
        ("parity/test_compare.py",),
    ),
    Fault(
        "limits a hundred times as wide",
        "parity/limits.py",
        "\nFACTOR = 4.0",
        "\nFACTOR = 400.0",
        ("parity/test_limits.py", "mutation"),
    ),
    Fault(
        "all elements of an output judged by its largest",
        "parity/magnitudes.py",
        "return self._taken(values, self._reach).reshape(-1)[self.index]",
        "return np.full(len(self.index), values.max(initial=0.0))",
        ("parity/test_magnitudes.py", "parity/test_limits.py"),
    ),
    Fault(
        "no case has to show anything",
        "parity/evidence.py",
        "self.shares >= _SHARE[self.dtype]",
        "self.shares >= np.inf",
        ("parity/test_limits.py",),
    ),
    Fault(
        "seeded random numbers accepted",
        "parity/evidence.py",
        "return bool(found) and sum(found) > _CASES * len(found)",
        "return False",
        ("parity/test_limits.py",),
    ),
    Fault(
        "further sizes not tried",
        "parity/probe.py",
        "if left < 0 or",
        "if left < inf or",
        ("attacks",),
    ),
    Fault(
        "float64 accepted for float32",
        "parity/compare.py",
        "if got.dtype != eager.dtype:",
        "if got.dtype.kind != eager.dtype.kind:",
        ("parity/test_compare.py", "mutation"),
    ),
    Fault(
        "everything excused where a kernel hides NaN",
        "parity/compare.py",
        "np.where(where, eager, got)",
        "eager",
        ("parity/test_nan.py",),
    ),
    Fault(
        "the captured sizes alone tried",
        "parity",
        "for size in _SIZES]",
        "for size in ()]",
        ("parity/test_cases.py",),
    ),
    Fault(
        "a chunk of a stream one step too long",
        "parity/chunks.py",
        "slice(start, start + length)",
        "slice(start, start + length + 1)",
        ("parity/test_chunks.py",),
    ),
    Fault(
        "one wrong weight accepted",
        "parity/weights",
        "return not self.faults",
        "return len(self.faults) < 2",
        ("parity/weights/test_weights.py", "mutation"),
    ),
    Fault(
        "a smallest case that is not the smallest",
        "parity/shrink.py",
        "- passing > 1:",
        "- passing > 2:",
        ("parity/test_shrink.py",),
    ),
    # The PyTorch side: what goes into a model.
    Fault(
        "a missing weight accepted",
        "pytorch",
        "name in named and state[named[name]].shape == tensor.shape",
        "name not in named or state[named[name]].shape == tensor.shape",
        ("pytorch/test_checkpoint.py",),
    ),
    Fault(
        "a pickled checkpoint run",
        "pytorch",
        "weights_only=True",
        "weights_only=False",
        ("cli/test_bad_input.py", "pytorch/test_checkpoint.py"),
    ),
    Fault(
        "the same values in every case",
        "pytorch",
        "default_rng([case.seed,",
        "default_rng([0,",
        ("test_verification.py",),
    ),
    Fault(
        "dropout left on",
        "pytorch/evaluation.py",
        "    model.eval()\n",
        "    model.train()\n",
        ("test_export.py",),
    ),
    # Bundles and streams.
    Fault(
        "the size of a file compared and not its hash",
        "bundle/files.py",
        "if path.stat().st_size != entry.bytes or hash_file(path) != entry:",
        "if path.stat().st_size != entry.bytes:",
        ("bundle/test_bundle.py",),
    ),
    Fault(
        "a stale file of another model kept",
        "bundle",
        "same = _is_same_model(older, newer)",
        "same = True",
        ("bundle/test_bundle.py", "test_export.py"),
    ),
    Fault(
        "a manifest that was changed accepted",
        "bundle/manifest.py",
        "if sha256 != _digest(data):",
        "if not sha256:",
        ("bundle/test_bundle.py",),
    ),
    Fault(
        "code that a manifest names run without being asked",
        "bundle/rebuild.py",
        "may_be_named(source.model)",
        "True",
        ("test_verification.py", "cli/test_commands.py"),
    ),
    Fault(
        "a state not reset",
        "stream",
        "state[where] = self._buffers.initial[name][where]",
        "state[where] = state[where]",
        ("stream/test_stream.py",),
    ),
    Fault(
        "a step reads the states of the step before the last",
        "stream",
        "= (1, 0)",
        "= (0, 1)",
        ("stream/test_stream.py",),
    ),
    Fault(
        "an export that is wrong exits as one that cannot be made",
        "cli",
        "raise SystemExit(error.exit_code) from None",
        "raise SystemExit(2) from None",
        ("cli/test_bad_input.py", "cli/test_providers.py"),
    ),
)
