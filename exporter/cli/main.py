"""The command line: parses, calls the Python API, prints. Nothing here imports torch before a command runs."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import click

from .. import __version__
from ..errors import RnnExportError
from .bundle import bundle
from .doctor import doctor
from .inspect import inspect
from .latency import latency
from .models import models
from .onnx import onnx
from .report import report
from .show import print_error
from .torchscript import torchscript
from .triton import triton
from .verify import verify

# As shells report a program that a SIGINT ended.
_INTERRUPTED = 130


class _Group(click.Group):
    """Turns errors into one sentence on stderr and an exit code: 1 for parity, 2 for input."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RnnExportError as error:
            _report(error, str(error), "Error")
            raise SystemExit(error.exit_code) from None
        except KeyboardInterrupt:
            click.echo("Interrupted; nothing was written.", err=True)
            raise SystemExit(_INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except MemoryError as error:
            _report(
                error, "There is not enough memory for these sizes. Give smaller ones with --set or --input.", "Error"
            )
            raise SystemExit(2) from None
        except Exception as error:  # the last resort: a fault of this program is said to be one
            _report(
                error, f"{type(error).__name__}: {error}. This is a fault of rnn-export; please report it.", "Fault"
            )
            raise SystemExit(2) from None


def _report(error: Exception, message: str, kind: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    if "--json" in sys.argv:
        report = getattr(error, "report", None)
        found = {"report": report.to_json()} if report else {}
        click.echo(json.dumps({"error": message, "exit_code": getattr(error, "exit_code", 2), **found}, indent=2))
    print_error(message, kind)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rnn-export")
def main() -> None:
    """Export recurrent PyTorch models to ONNX and TorchScript, and prove that they are right.

    \b
    rnn-export onnx --model hetero
    rnn-export onnx --model my_model.py:MyRNN --input 'x: float32[T, N, 100]' --weights my.safetensors
    rnn-export verify artifacts/hetero

    Exit codes: 0 right, 1 the exported model computes something else than PyTorch or did not run where it was asked to,
    2 something given is wrong.
    """


main.add_command(models)


main.add_command(onnx)


main.add_command(torchscript)


main.add_command(verify)


main.add_command(doctor)


main.add_command(report)


main.add_command(inspect)


main.add_command(latency)


main.add_command(bundle)


main.add_command(triton)
