"""`python -m benchmarks` measures everything and writes docs/internals/benchmarks.md and its plots; see --help."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .engines import DEFAULT, ENGINES
from .page import write_page
from .race import QUICK, Effort
from .results import Results
from .rows import MODELS, SHAPES, THREADS
from .run import Choice, measure

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "internals"
BUILD = ROOT / "build" / "bench"
PARTS = ("rows", "growth", "loops", "export", "mamba")


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.page:
        results = Results.from_json((DOCS / "benchmarks.json").read_text())
        write_page(results, DOCS)
        return 0
    choice = Choice(
        models=[model for model in MODELS if not options.only or model in options.only],
        shapes=[shape for shape in SHAPES if not options.shape or str(shape) in options.shape],
        threads=options.threads or list(THREADS),
        engines=options.engine or list(DEFAULT),
        parts=options.part or list(PARTS),
        effort=QUICK if options.quick else Effort(),
    )
    is_whole = not any((options.only, options.shape, options.threads, options.engine, options.part, options.quick))
    out = DOCS if is_whole else BUILD / "out"
    files = BUILD / "files"
    shutil.rmtree(files, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    results = measure(choice, files, " ".join(["make bench", *_given(arguments)]), _progress())
    (out / "benchmarks.json").write_text(results.to_json())
    print(write_page(results, out))
    print(f"Written to {(out / 'benchmarks.md').relative_to(ROOT)}")
    return 0


def _given(arguments: Sequence[str]) -> list[str]:
    return [f'BENCH_ARGS="{" ".join(arguments)}"'] if arguments else []


def _progress() -> Callable[[str], None]:
    start = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        print(f"{minutes:2}:{seconds:02} {text}", flush=True)

    return say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Times exported models beside what a user would pick instead. A run that leaves anything out "
        "writes to build/bench/out instead of docs/internals.",
    )
    parser.add_argument("--only", action="append", choices=MODELS, help="one model; repeatable")
    parser.add_argument("--shape", action="append", choices=[str(shape) for shape in SHAPES], help="one; repeatable")
    parser.add_argument(
        "--threads", action="append", type=int, choices=THREADS, help="one number of threads; repeatable"
    )
    parser.add_argument(
        "--engine", action="append", choices=ENGINES, metavar="NAME", help=f"one of {', '.join(ENGINES)}"
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="one part of the run; repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: write the page from docs/internals/benchmarks.json"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
