"""A report as one page of HTML: no scripts, nothing loaded from anywhere, light and dark, for screen readers. Pure."""

from __future__ import annotations

from html import escape
from typing import Final

from strongroom.analytics.report import wording
from strongroom.analytics.report.gather import JobReport
from strongroom.analytics.report.wording import Table

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE: Final = """\
:root { color-scheme: light dark; --line: #8a8f98; --soft: #f1f3f5; --text: #16191d; --back: #ffffff; --bad: #a3150b }
@media (prefers-color-scheme: dark) {
  :root { --line: #7d838c; --soft: #23272c; --text: #e8eaed; --back: #16191d; --bad: #ff9d94 }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2rem 0 .25rem }
p { margin: .25rem 0 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  min-width: 4rem }
.long { overflow-wrap: anywhere; min-width: 12rem }
thead th { background: var(--soft); white-space: nowrap }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.bad { color: var(--bad); font-weight: 600 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
.mind { border-left: .25rem solid var(--bad); padding: .25rem .75rem; margin: 1rem 0 }
footer { margin-top: 2rem; border-top: 1px solid var(--line); padding-top: .5rem; font-size: .9rem }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dd { margin-bottom: .4rem } }
"""
LONG_WORD: Final = 24
_BAD: Final = frozenset({"failed", "refused", wording.NOT_TOLD})


def html(report: JobReport) -> str:
    """Return the page."""
    title = f"Report of {report.name}"
    known = "".join(_fact(name, value, wording.failed(report)) for name, value in wording.facts(report))
    minded = "".join(f"<p>{escape(each)}</p>\n" for each in wording.warnings(report))
    mind = f'<section class="mind" aria-label="To be minded">\n{minded}</section>\n' if minded else ""
    body = "".join(_section(number, table) for number, table in enumerate(wording.tables(report), 1))
    said = "".join(f"<p>{escape(each)}</p>\n" for each in wording.notices(report))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(wording.ABOUT)}</p>\n<dl>\n{known}</dl>\n{mind}{body}</main>\n<footer>\n{said}</footer>\n</body>\n</html>\n"
    )


def _fact(name: str, value: str, failed: bool) -> str:
    kind = ' class="bad"' if failed and name == wording.OUTCOME else ""
    return f"<dt>{escape(name)}</dt><dd{kind}>{escape(value)}</dd>\n"


def _section(number: int, table: Table) -> str:
    head = f'<section aria-labelledby="s{number}">\n<h2 id="s{number}">{escape(table.title)}</h2>\n'
    if not table.rows:
        return f"{head}<p>{escape(table.empty)}</p>\n</section>\n"
    columns = "".join(_cell(name, at in table.numeric, "th", ' scope="col"') for at, name in enumerate(table.columns))
    rows = "".join(_row(row, table) for row in table.rows)
    more = f"<p>and {table.left_out} more</p>\n" if table.left_out else ""
    return (
        f'{head}<p id="c{number}">{escape(table.caption)}</p>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="s{number}">\n'
        f'<table aria-describedby="c{number}">\n<thead><tr>{columns}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table>\n</div>\n{more}</section>\n"
    )


def _row(row: tuple[str, ...], table: Table) -> str:
    first = _cell(row[0], 0 in table.numeric, "th", ' scope="row"')
    return f"<tr>{first}{''.join(_cell(each, at in table.numeric) for at, each in enumerate(row[1:], 1))}</tr>\n"


def _cell(text: str, numeric: bool, tag: str = "td", more: str = "") -> str:
    long = any(len(word) > LONG_WORD for word in text.split())  # others stay whole
    names = [name for name, is_so in (("number", numeric), ("bad", text in _BAD), ("long", long)) if is_so]
    kind = f' class="{" ".join(names)}"' if names else ""
    return f"<{tag}{kind}{more}>{escape(text)}</{tag}>"
