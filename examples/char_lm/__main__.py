"""`python -m examples.char_lm` trains a character model on a text and exports it as a bundle that writes."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from rnn_export import InputError, Loaded, RnnExportError, Stream, add_file, export_onnx, load
from rnn_export.bundle.ours import foreign_in_bundle

from .text import VOCABULARY, Batches, Vocabulary, read_text
from .training import train_epoch
from .writing import streamed, write

LENGTH = 300
CHECKPOINT = ".safetensors"
# The rate of the last epoch, relative to that of the first.
LAST_RATE = 0.1


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        run(options)
    except RnnExportError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # the checkpoint's; the bundle's are errors of the package
        print(f"Error: {error.filename} cannot be written ({error.strerror}). Choose another --out.", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    """Train, save, export, and write a sample.

    Raises:
        InputError: the text cannot be read or is too short, or the folder cannot be written.
        ParityError: what was exported computes something else than PyTorch.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    text = read_text(options.text)
    vocabulary = Vocabulary.of(text)
    batches = Batches(vocabulary.encode(text), N=options.batch_size, T=options.steps)
    # What would be found after training is to be found before it.
    if not options.prompt:
        raise InputError("The prompt is empty. Give at least one character.")
    vocabulary.encode(options.prompt)
    check_out(options.out)
    print(f"{len(text)} characters, {len(vocabulary)} different ones", flush=True)
    loaded = build(options.cell, len(vocabulary), options.hidden, options.seed)
    train(loaded, batches, options)
    loaded.model.eval()
    bundle = export(loaded, vocabulary, options.out)
    print(f"{bundle} and {bundle.with_suffix(CHECKPOINT)} are written.\n")
    random = np.random.default_rng(options.seed)
    feed = streamed(Stream(bundle))
    written = islice(write(feed, vocabulary, options.prompt, temperature=options.temperature, random=random), LENGTH)
    print(options.prompt + "".join(written))


def check_out(out: Path) -> None:
    """Whether a bundle may be written there, with a checkpoint beside it; the folder above is made.

    Raises:
        InputError: it is the working folder, a file, or holds something else; or the checkpoint's place is a folder.
        OSError: nothing can be written there.
    """
    if out.resolve() == Path.cwd():
        raise InputError(f"{out} is the working folder, which would be replaced. Name a folder inside it with --out.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Choose a folder.")
    if out.is_dir() and any(out.iterdir()) and foreign_in_bundle(out):
        raise InputError(f"{out} holds something other than a bundle, which is left alone. Choose another --out.")
    checkpoint = out.with_suffix(CHECKPOINT)
    if checkpoint == out or checkpoint.is_dir():
        raise InputError(f"{checkpoint} is to be the checkpoint, and not a folder. Choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error


def build(cell: str, vocab_size: int, num_hiddens: int, seed: int) -> Loaded:
    if cell == "scratch":
        return load("scratch", vocab_size=vocab_size, num_hiddens=num_hiddens, seed=seed)
    model = "examples.char_lm.model:CharModel"
    return load(model, cell=cell, vocab_size=vocab_size, num_hiddens=num_hiddens, seed=seed)


def train(loaded: Loaded, batches: Batches, options: argparse.Namespace) -> None:
    """Epochs until there are enough, with a line for each; the checkpoint is written after every one."""
    checkpoint = options.out.with_suffix(CHECKPOINT)
    optimizer = torch.optim.Adam(loaded.model.parameters(), lr=options.rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, LAST_RATE, total_iters=options.epochs - 1)
    began = time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        perplexity = train_epoch(
            loaded.model, loaded.signature, batches, optimizer, clip=options.clip, progress=_progress(epoch)
        )
        schedule.step()
        save(loaded.model, checkpoint)
        print(f"epoch {epoch}  perplexity {perplexity:.2f}  {time.perf_counter() - began:.0f} s", flush=True)


def save(model: torch.nn.Module, checkpoint: Path) -> None:
    """All of it or nothing: an interrupted run leaves the checkpoint of the epoch before."""
    partial = checkpoint.with_suffix(".partial")
    safetensors.torch.save_file(model.state_dict(), partial)
    partial.replace(checkpoint)


def export(loaded: Loaded, vocabulary: Vocabulary, out: Path) -> Path:
    """Verify the model in chunks, write it as a bundle, and put the vocabulary into that."""
    exported = export_onnx(loaded.model, loaded.signature, out, stateful=True, source=loaded.source)
    add_file(exported.folder, VOCABULARY, vocabulary.to_json().encode())
    return out


def _progress(epoch: int) -> Callable[[int, int], None]:
    """A line that is written over, on a terminal alone."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\r" if done < total else "\x1b[K"
            print(f"\repoch {epoch}  batch {done} of {total}", end=end, file=sys.stderr, flush=True)

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.char_lm", description=__doc__)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--text", type=Path, help="a text file in UTF-8; without one, this Python's documentation")
    parser.add_argument("--cell", choices=["scratch", "gru", "lstm"], default="scratch", help="which model")
    parser.add_argument("--hidden", type=_count, default=256, metavar="H", help="hidden units")
    parser.add_argument("--epochs", type=_count, default=5, metavar="K", help="passes over the text")
    parser.add_argument("--batch-size", type=_count, default=16, metavar="N", help="sequences at once")
    parser.add_argument("--steps", type=_count, default=35, metavar="T", help="steps that gradients go back")
    parser.add_argument("--rate", type=_positive, default=2e-3, help="Adam's learning rate at first")
    parser.add_argument("--clip", type=_positive, default=0.2, help="the most that the norm of the gradients may be")
    # The products of a step are so small that further threads cost more than they spare.
    parser.add_argument("--threads", type=_count, default=1, help="threads that PyTorch trains with")
    parser.add_argument("--seed", type=_seed, default=0, help="of the weights and of the sample")
    parser.add_argument("--prompt", default="The ", help="what the sample begins with")
    parser.add_argument("--temperature", type=_temperature, default=0.5, help="of the sample; 0 is greedy")
    parser.add_argument("--out", type=Path, default=Path("artifacts/char_lm"), help="the bundle's folder")
    return parser


def _number(text: str, least: float, most: float) -> float:
    number = float(text)
    if not least <= number <= most:  # which NaN is not either
        raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
    return number


def _positive(text: str) -> float:
    return _number(text, 1e-9, 100)


def _temperature(text: str) -> float:
    return _number(text, 0, 100)


def _seed(text: str) -> int:
    return int(_number(text, 0, 2**32 - 1))


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
