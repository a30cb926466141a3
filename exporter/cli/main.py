"""The command line: parses, calls the Python API, prints. Nothing here imports torch before a command runs."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import click

from ..errors import RnnExportError
from ..version import __version__
from .bundle import bundle
from .console import print_error
from .doctor import doctor
from .genai import genai
from .inspect import inspect
from .install import install
from .latency import latency
from .models import models
from .onnx import onnx
from .pipeline import pipeline
from .report import report
from .torchscript import torchscript
from .triton import triton
from .verify import verify
from .wording import in_options

# As shells report a program that a SIGINT ended.
_INTERRUPTED = 130


# What people call a command that has another name.
_MEANT = {
    "export": "onnx' or 'torchscript",
    "convert": "onnx' or 'torchscript",
    "jit": "torchscript",
    "check": "verify",
    "test": "verify",
    "validate": "verify",
    "info": "inspect",
    "show": "inspect",
    "list": "models",
    "bench": "latency",
    "benchmark": "latency",
}


class _Group(click.Group):
    """Turns errors into one sentence on stderr and an exit code: 1 for parity, 2 for input."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are used, not by the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and (meant := _MEANT.get(args[0])):
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{meant}'?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RnnExportError as error:
            _report(error, in_options(str(error), self.commands.get(ctx.invoked_subcommand or "")), "Error")
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
        except Exception as error:  # the last resort: a bug of our own is called one
            _report(error, f"{type(error).__name__}: {error}. This is a bug in rnn-export; please report it.", "Bug")
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
    """Export recurrent PyTorch models to ONNX and TorchScript, and prove it.

    \b
    rnn-export onnx hetero
    rnn-export onnx my.py:MyRNN --weights my.pt --input 'x: float32[N, T, 100]'
    rnn-export verify artifacts/hetero

    \b
    Exit codes: 0 right
                1 the file computes something else than PyTorch, or did not
                  run where it was asked to
                2 something that was given is wrong
    """


for command in (
    onnx,
    torchscript,
    pipeline,
    verify,
    inspect,
    report,
    models,
    doctor,
    install,
    bundle,
    triton,
    genai,
    latency,
):
    main.add_command(command)
