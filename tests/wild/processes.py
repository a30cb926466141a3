"""One process for each model and way: an export may spoil the next one in its process, crash or never end."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection

from rnn_export.errors import first_line

from .exporters import attempt
from .model import Model, Result
from .zoo import MODELS

SECONDS = 900
# Forked from a process that has imported these and done nothing else: importing them takes longer than many an export.
PRELOADED = ["torch", "torch.onnx", "onnxscript", "onnxruntime", "rnn_export.export", "wild.exporters"]

_context = multiprocessing.get_context("forkserver")


def attempt_all(models: Sequence[Model], ways: Sequence[str], jobs: int) -> Iterator[tuple[Model, str, Result]]:
    """Every model in each of these ways, as each is done."""
    _context.set_forkserver_preload(PRELOADED)
    # The others carry no states of a model's own from call to call.
    pairs = [(model, way) for way in ways for model in models if way == "ours" or not model.stateful]
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_attempt_apart, model, way): (model, way) for model, way in pairs}
        for future in as_completed(futures):
            yield (*futures[future], future.result())


def _attempt_apart(model: Model, way: str) -> Result:
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_send, args=(MODELS.index(model), way, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(SECONDS) else Result("refused", f"no answer in {SECONDS} seconds")
    except EOFError:
        process.join()
        return Result("refused", f"the process died with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _send(index: int, way: str, sender: Connection) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the exporters print from C++, past Python's own streams
    os.dup2(nowhere, 2)
    try:
        result = attempt(MODELS[index], way)
    except Exception as error:  # the package cannot be imported, say: it is shown, and is no outcome
        result = Result("refused", f"NOT TRIED: {type(error).__name__}: {first_line(error)}")
    sender.send(result)
