"""A report as text for a terminal or a file. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.analytics.report import wording
from strongroom.analytics.report.gather import JobReport
from strongroom.analytics.report.wording import Table

MAX_CELL: Final = 48


def text(report: JobReport) -> str:
    """Return the whole report, a line for each row."""
    lines = [f"Report of {report.name}", ""]
    width = max((len(name) for name, _ in wording.facts(report)), default=0)
    lines += [f"{name:<{width}}  {value}" for name, value in wording.facts(report)]
    minded = wording.warnings(report)
    lines += ["", *minded] if minded else []
    for table in wording.tables(report):
        lines += ["", table.title, *_table(table)]
    lines += ["", *wording.notices(report)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def summary(report: JobReport) -> str:
    """Return what a job was in three lines or less, for the end of its output."""
    told = report.facts
    read = ", ".join(f"{each.name} (generation {each.generation})" for each in told.read[:5])
    wrote = ", ".join(f"{each.name} (generation {each.generation})" for each in told.written[:5])
    unnamed = f", {len(report.unnamed)} executors did not say what they are" if report.unnamed else ""
    lines = [f"{report.name}: {len(told.admitted)} processes proved themselves, {len(told.refused)} refused{unnamed}"]
    lines += [f"  read {read}"] if read else []
    lines += [f"  wrote {wrote}"] if wrote else []
    return "".join(f"{line}\n" for line in lines)


def _table(table: Table) -> list[str]:
    if not table.rows:
        return [f"  {table.empty}"]
    rows = [table.columns, *([_cut(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.columns))]
    lines = [
        "  " + "  ".join(
            f"{cell:>{widths[at]}}" if at in table.numeric else f"{cell:<{widths[at]}}" for at, cell in enumerate(row)
        )
        for row in rows
    ]  # fmt: skip
    return lines if not table.left_out else [*lines, f"  and {table.left_out} more"]


def _cut(cell: str) -> str:
    return cell if len(cell) <= MAX_CELL else f"{cell[: MAX_CELL - 1]}…"
