"""A command whose help is in sections, and which takes the model as its first word too."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import click

# Option names by section, in the order in which the help shows them; what is in none comes last.
SECTIONS: Mapping[str, Sequence[str]] = {
    "Model": ("model", "settings", "weights", "weights_key"),
    "Inputs and outputs": ("inputs", "outputs", "states", "example"),
    "Output": ("out", "table", "junit", "as_json", "quiet", "debug"),
    "Runtime": ("runtime", "allow_fallback", "strict", "options", "provider_library"),
    "Form": ("opset", "stateful", "lowering", "target", "tune", "method"),
    "Precision": ("quantize", "precision", "max_error"),
    "Verification": ("no_verify", "cases", "accept", "seed", "long", "case", "bisect"),
}


class SectionedCommand(click.Command):
    """Its options stand in the sections that people look for them in."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            each.name: each.get_help_record(ctx) for each in self.get_params(ctx) if isinstance(each, click.Option)
        }
        known = {name for names in SECTIONS.values() for name in names}
        rest = [name for name in records if name not in known]
        for title, names in (*SECTIONS.items(), ("Help", rest)):
            rows = [record for name in names if (record := records.get(name)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; `--cases` with a function behind it is told where that goes."""
        for flag, value in itertools.pairwise(args):
            if flag == "--cases" and ":" in value:
                raise click.UsageError(
                    f"--cases takes nothing: it shows a row per case. A function that makes them is given with "
                    f"--make-cases {value}.",
                    ctx,
                )
        return super().parse_args(ctx, args)
