"""A real Triton Inference Server over a model repository, and what it is asked: `make test-triton` installs it."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# ONNX Runtime in a backend of our own, for there is no package with Triton's.
BACKENDS = Path(__file__).parents[2] / "build" / "triton" / "backends"
_SECONDS = 60

Array = NDArray[np.generic]


def is_there() -> bool:
    """Whether the packages with the server and its client are on the path, and the backend is built."""
    return all(importlib.util.find_spec(package) for package in ("pytriton", "grpc")) and BACKENDS.is_dir()


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    address: str
    client: Any

    def ask(self, model: str, inputs: Mapping[str, Array], **sequence: Any) -> dict[str, Array]:
        """One request; `sequence` holds `sequence_id`, `sequence_start` and `sequence_end`."""
        answer = self.client.infer(model, _inputs(inputs), **sequence)
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

    def ask_at_once(self, model: str, requests: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """Requests that do not wait for each other's answers."""
        with ThreadPoolExecutor(len(requests)) as threads:
            return list(threads.map(lambda inputs: self.ask(model, inputs), requests))

    def feed(self, model: str, sequence: int, chunks: Sequence[Array]) -> Iterator[Array]:
        """What comes of a whole sequence, chunk after chunk, of a model with one input and one output."""
        for i, chunk in enumerate(chunks):
            begins, ends = i == 0, i == len(chunks) - 1
            answer = self.ask(model, {"x": chunk}, sequence_id=sequence, sequence_start=begins, sequence_end=ends)
            yield answer["output"]

    def runs(self, model: str) -> tuple[int, int]:
        """How many requests were answered, and how often the model was run for them."""
        (stats,) = self.client.get_inference_statistics(model).model_stats
        return stats.inference_count, stats.execution_count


@contextmanager
def serving(repository: Path) -> Iterator[Server]:
    """Start a server; every model has to load."""
    from tritonclient import grpc  # is not everywhere that this module is read

    address = f"127.0.0.1:{_free_port()}"
    log = repository.parent / "server.log"
    command = [
        _program(),
        f"--model-repository={repository}",
        f"--backend-directory={BACKENDS}",
        f"--grpc-port={address.rpartition(':')[2]}",
        "--grpc-address=127.0.0.1",
        "--allow-http=false",
        "--allow-metrics=false",
        "--exit-timeout-secs=5",
    ]
    with log.open("w") as lines, subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT) as process:
        client = grpc.InferenceServerClient(address)
        try:
            _wait(client, process, log)
            yield Server(address, client)
        finally:
            client.close()
            process.terminate()


def _program() -> Path:
    package = importlib.util.find_spec("pytriton")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "tritonserver" / "bin" / "tritonserver"


def _wait(client: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    from tritonclient.utils import InferenceServerException

    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            if client.is_server_ready():
                return
        except InferenceServerException:
            time.sleep(0.05)  # it does not listen yet
    raise AssertionError(f"not ready after {_SECONDS} seconds: {log.read_text()}")


def _inputs(inputs: Mapping[str, Array]) -> list[Any]:
    from tritonclient import grpc
    from tritonclient.utils import np_to_triton_dtype

    given = []
    for name, array in inputs.items():
        given.append(grpc.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        given[-1].set_data_from_numpy(array)
    return given


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
