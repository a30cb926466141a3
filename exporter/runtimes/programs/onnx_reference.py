"""The ONNX project's reference evaluator as a program: one operator at a time, in numpy."""

from __future__ import annotations

from pathlib import Path

from onnx.reference import ReferenceEvaluator

from .contract import Run, main


def load(model: Path) -> Run:
    evaluator = ReferenceEvaluator(str(model))
    return lambda arrays: list(evaluator.run(None, dict(zip(evaluator.input_names, arrays, strict=True))))


if __name__ == "__main__":
    main(load)
