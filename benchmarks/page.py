"""docs/internals/benchmarks.md from what was measured: only its words and `remarks.toml` are written by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from .costs import export_section, growth_section, loops_section, mamba_section
from .engines import INT8
from .plot import plot_growth, plot_rates
from .results import Engine, Results, RowResult, Setting
from .tables import table
from .verdicts import beaten, best_rival, ours, overlap, ratio, rivals, share, traffic

REMARKS = Path(__file__).with_name("remarks.toml")
METHOD = Path(__file__).with_name("method.md")


def write_page(results: Results, folder: Path) -> str:
    """Write the page and its plots to a folder, and return the page."""
    plots = folder / "benchmarks"
    plots.mkdir(exist_ok=True)
    for threads in results.machines:
        plot_rates([result for result in results.rows if result.row.threads == threads], plots / f"rates-{threads}.svg")
    plot_growth(results.growth, plots / "growth.svg")
    page = render(results, tomllib.loads(REMARKS.read_text()), METHOD.read_text())
    (folder / "benchmarks.md").write_text(page)
    return page


def render(results: Results, remarks: Mapping[str, str], method: str) -> str:
    """The page."""
    parts = [_head(results.setting)]
    if results.rows:
        parts.append(_summary(results.rows))
    for threads in results.machines:
        rows = [result for result in results.rows if result.row.threads == threads]
        if rows:
            parts.append(_threads(threads, rows, remarks))
    if results.rows:
        parts.append(_not_timed(results.rows))
    sections = [growth_section, loops_section, export_section, mamba_section]
    parts += [_machine(results), *(line for section in sections for line in section(results)), method]
    return "\n".join(parts)


def _head(setting: Setting) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in setting.versions.items())
    return (
        "# Benchmarks\n\n"
        f"Measured by `{setting.command}` on {setting.date}, in {setting.minutes:.0f} minutes, on {setting.processor}, "
        f"{setting.cores} cores, {setting.memory / 2**30:.0f} GiB, {setting.system}; {versions}. Everything, with "
        "quartiles and rounds, is in [benchmarks.json](benchmarks.json).\n"
    )


def _summary(rows: Sequence[RowResult]) -> str:
    lines = table(
        ["engine", "rows", "ours is faster on", "lowest", "median", "highest"],
        [
            [rival.name, str(rival.rows), str(rival.slower), *map(_times, (rival.lowest, rival.middle, rival.highest))]
            for rival in rivals(rows)
        ],
    )
    fastest = len(rows) - len(beaten(rows))
    return (
        f"Ours in float32 is the fastest on {fastest} of {len(rows)} rows. How many times as long the others take, "
        f"over the rows that they run:\n\n{lines}\n"
    )


def _threads(threads: int, rows: Sequence[RowResult], remarks: Mapping[str, str]) -> str:
    title = "One thread" if threads == 1 else f"{threads} threads"
    return "\n".join(
        [
            f"## {title}\n",
            "Milliseconds of a whole call (median of the rounds) and, in brackets, how many times as long that is as "
            "ours. The fastest in bold.\n",
            _times_table(rows),
            *_losses(rows, remarks),
            f"### How near the limit, {title.lower()}\n",
            f"![Rate of each engine and the limit, {title.lower()}](benchmarks/rates-{threads}.svg)\n",
            _limits_table(rows),
        ]
    )


def _times_table(rows: Sequence[RowResult]) -> str:
    names = list(dict.fromkeys(name for result in rows for name in result.engines))
    body = [[_label(result), *(_cell(result, result.engines.get(name)) for name in names)] for result in rows]
    return table(["model and shape", *names], body)


def _cell(result: RowResult, engine: Engine | None) -> str:
    if engine is None:
        return ""
    if not engine.is_timed:
        return "**wrong**" if engine.outcome == "wrong" else engine.outcome
    fastest = min(other.seconds for name, other in result.timed().items() if name != INT8)
    time = f"{engine.seconds * 1e3:.3g}"
    value = ratio(result, engine)
    beside = f" ({_times(value)})" if value is not None and engine is not ours(result) else ""
    return f"**{time}**{beside}" if engine.seconds == fastest else f"{time}{beside}"


def _losses(rows: Sequence[RowResult], remarks: Mapping[str, str]) -> list[str]:
    lost = beaten(rows)
    if not lost:
        return ["Ours is the fastest on every row.\n"]
    return ["Where ours is not the fastest:\n", *(f"* {_loss(result, remarks)}" for result in lost), ""]


def _loss(result: RowResult, remarks: Mapping[str, str]) -> str:
    own, rival, reached = ours(result), best_rival(result), share(result)
    assert own is not None
    assert rival is not None
    assert reached is not None
    name, engine = rival
    form = f" ({engine.form})" if engine.form else ""
    draw = ", a draw: their rounds overlap" if overlap(own, engine) else ""
    text = (
        f"{_label(result)}: {name}{form} takes {engine.seconds * 1e3:.3g} ms, ours {own.seconds * 1e3:.3g} ms, "
        f"{own.seconds / engine.seconds:.2f} times as long{draw}. {_bound(result, reached)}"
    )
    shape = f"{result.row.model}, {result.row.shape}"
    return " ".join([text, *(remarks[key] for key in (shape, result.row.model) if key in remarks)])


def _bound(result: RowResult, reached: float) -> str:
    """What the numbers say of where ours spends its time."""
    rest = f"{(1 - reached) * 100:.0f}% of ours"
    if reached > 0.85:
        return f"Ours is at {reached:.0%} of the limit."
    if result.limit < 20e-6:
        return f"The products take {result.limit * 1e6:.0f} µs; {rest} is what a call and each of its operators cost."
    what = "reading the weights" if traffic(result) else "the products"
    limit = f"The limit, {what} alone, is {result.limit * 1e3:.3g} ms"
    return f"{limit}; {rest} is activations, copies, steps and slower products."


def _limits_table(rows: Sequence[RowResult]) -> str:
    return table(["model and shape", "limit, ms", "ours, ms", "limit", "ours", "share"], map(_limit, rows))


def _limit(result: RowResult) -> list[str]:
    own, reached = ours(result), share(result)
    if own is None or reached is None:
        return [_label(result), f"{result.limit * 1e3:.3g}", "", _rate(result, result.limit), "", ""]
    return [
        _label(result),
        f"{result.limit * 1e3:.3g}",
        f"{own.seconds * 1e3:.3g}",
        _rate(result, result.limit),
        _rate(result, own.seconds),
        f"{reached:.0%}",
    ]


def _rate(result: RowResult, seconds: float) -> str:
    """Weights read per second where there is one sequence, operations per second in a batch."""
    read = traffic(result)
    return f"{read / seconds / 1e9:.3g} GB/s" if read else f"{result.rate(seconds):.3g} GFLOP/s"


def _not_timed(rows: Sequence[RowResult]) -> str:
    """Which engines did not run which rows, and their own words for it."""
    found: dict[tuple[str, str, str], int] = {}
    for result in rows:
        for name, engine in result.engines.items():
            if not engine.is_timed:
                key = (name, engine.outcome, f"{engine.reason} ({result.row.model})")
                found[key] = found.get(key, 0) + 1
    if not found:
        return ""
    lines = [f"* {name}, {outcome} on {count}: {_plain(reason)}" for (name, outcome, reason), count in found.items()]
    return "\n".join(["## What was not timed\n", *lines, ""])


def _machine(results: Results) -> str:
    sizes = [size for machine in list(results.machines.values())[:1] for size in machine.bandwidth]
    lines = table(
        ["threads", "SGEMM, GFLOP/s", *(f"{_kib(size)}" for size in sizes)],
        [
            [str(threads), f"{machine.sgemm / 1e9:.0f}", *(f"{rate / 1e9:.0f}" for rate in machine.bandwidth.values())]
            for threads, machine in results.machines.items()
        ],
    )
    return (
        "## The machine\n\nThe rate of a product of 1024 x 1024 matrices, and GB/s of reading from a working set "
        f"of so much:\n\n{lines}\n"
    )


def _kib(size: int) -> str:
    return f"{size // 1024} MiB" if size >= 1024 else f"{size} KiB"


def _label(result: RowResult) -> str:
    return f"{result.row.model} {result.row.shape}"


def _times(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def _plain(text: str) -> str:
    """Without what Markdown takes for its own, or what is another on each machine."""
    words = (word if not word.startswith("/") else Path(word).name for word in text.split())
    return " ".join(words).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
