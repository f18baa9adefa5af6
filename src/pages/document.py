"""One HTML page that collects the sheets, curves and tables of a search.

The page needs nothing but the pictures beside it: no server, no network, no library. Its folder can
be moved or sent as a whole.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from src.common.atomic_files import PathLike, write_text
from src.pages.look import VERDICTS, plain_number
from src.pages.query_sheet import Sheet

PAGE_NAME = "index.html"

_VERDICT_COLOURS = " ".join(
    f"--{verdict.replace(' ', '-')}: #{bytes(colour).hex()};"
    for verdict, (_, colour) in VERDICTS.items()
)
_COLOURS = f"""
:root {{ color-scheme: light; --ink: #222; --quiet: #5c5c5c; --line: #d9d9d9; --paper: #fafafa;
  {_VERDICT_COLOURS} }}"""
_STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem clamp(.75rem, 3vw, 2rem) 4rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .3rem 0; max-width: 60rem; }
a { color: #0b5cad; }
nav a { margin-right: 1rem; }
.quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
td:first-child, .words td { overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--ink); white-space: nowrap; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: .2rem 0; cursor: pointer; }
th button::after { content: " ↕"; color: var(--quiet); }
th[aria-sort=ascending] button::after { content: " ↑"; color: inherit; }
th[aria-sort=descending] button::after { content: " ↓"; color: inherit; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 1rem; }
figure { margin: 0; }
img { max-width: 100%; height: auto; display: block; background: #fff; }
.curves img { border: 1px solid var(--line); }
article { border-top: 1px solid var(--line); padding: 1.2rem 0; }
article .sheet { display: block; overflow-x: auto; margin: .6rem 0; border: 1px solid var(--line); }
article .sheet img { width: 100%; min-width: 56rem; max-width: none; }
summary { cursor: pointer; }
details .row { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start;
  margin-top: .5rem; }
details .row > * { min-width: 0; max-width: 100%; }
.right, .wrong, .junk, .unknown, .the-same, .perhaps, .not-here {
  font-weight: 600; white-space: nowrap; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
.junk { color: var(--junk); } .unknown { color: var(--unknown); }
.the-same { color: var(--the-same); } .perhaps { color: var(--perhaps); }
.not-here { color: var(--not-here); }
@media print { article { break-inside: avoid; } nav { display: none; } }
"""

# Clicking a heading sorts the table by that column, a second time the other way round. Rows without
# a number stay at the end.
_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    button.addEventListener("click", () => {
      const falling = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const sign = falling ? -1 : 1;
      const rows = [...table.tBodies[0].rows].map(row => [row.cells[column].dataset.value, row]);
      rows.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        return sign * (column ? a - b : a.localeCompare(b, undefined, {numeric: true}));
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
"""


@dataclass(frozen=True)
class Entry:
    """What the page says of one query.

    Attributes:
        sheet: its sheet.
        picture: path of the sheet's picture, relative to the page.
        curve: path of its precision-recall curves, if there are any.
        precisions: protocol → average precision, NaN where the query has no positives.
    """

    sheet: Sheet
    picture: str
    curve: str | None = None
    precisions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: heading.
        lead: sentences below it.
        entries: the queries, in the order of the page.
        table: first row the headings; the other rows start with a name.
        curves: (path relative to the page, what it shows) of the curves of all queries.
        settings: name → value, what the results depend on.
    """

    title: str
    lead: Sequence[str]
    entries: Sequence[Entry]
    table: Sequence[Sequence[str]] = ()
    curves: Sequence[tuple[str, str]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)


def flat_settings(settings: Mapping[str, object], prefix: str) -> dict[str, object]:
    """Return nested settings as one table, the names of the levels joined."""
    rows: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows.update(flat_settings(value, f"{prefix}: {name}"))
        else:
            rows[f"{prefix}: {name}"] = value
    return rows


def write_page(folder: PathLike, page: Page) -> Path:
    """Write the page of a folder that holds its pictures; equal content gives equal bytes."""
    path = Path(folder) / PAGE_NAME
    write_text(path, page_html(page, Path(folder)))
    return path


def page_html(page: Page, folder: Path) -> str:
    """Return the HTML text of a page whose pictures are in `folder`."""
    numbered = list(enumerate(page.entries, 1))
    protocols = list(page.entries[0].precisions) if page.entries else []
    parts = page_top(page.title, page.lead)
    sections = {}
    if page.table:
        sections["metrics"] = ("Results", [_metrics(page.table)])
    if page.curves:
        sections["curves"] = ("Precision and recall", _all_curves(page.curves, folder))
    if protocols:
        table = [_overview(numbered, protocols)]
        sections["queries"] = (
            f"Queries, the worst first by {protocols[0]}",
            table,
        )
    articles = [part for number, entry in numbered for part in _article(number, entry, folder)]
    sections["sheets"] = ("What was found", [_legend(page.entries), *articles])
    if page.settings:
        rows = (
            f'<tr><th scope="row">{shown_text(name)}</th><td>{shown_text(value)}</td></tr>'
            for name, value in page.settings.items()
        )
        table = ['<div class="wide"><table class="words"><tbody>', *rows, "</tbody></table></div>"]
        sections["settings"] = ("Settings", table)
    parts.append("<nav>" if len(sections) > 2 else "")
    if len(sections) > 2:
        parts += [f'<a href="#{key}">{shown_text(name)}</a>' for key, (name, _) in sections.items()]
        parts.append("</nav>")
    parts.append("</header><main>")
    for key, (name, content) in sections.items():
        parts += [f'<section id="{key}"><h2>{shown_text(name)}</h2>', *content, "</section>"]
    parts += ["</main>", f"<script>{_SCRIPT}</script>" if protocols else "", "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"


def page_top(title: str, lead: Sequence[str], style: str = "") -> list[str]:
    """Return the beginning of a page, up to the sentences below its heading.

    Args:
        title: heading.
        lead: those sentences.
        style: what the page adds to the style of all.
    """
    return [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{shown_text(title)}</title>",
        '<link rel="icon" href="data:,">',
        f"<style>{_COLOURS}{_STYLE}{style}</style></head>",
        f"<body><header><h1>{shown_text(title)}</h1>",
        *(f"<p>{shown_text(sentence)}</p>" for sentence in lead),
    ]


def _metrics(table: Sequence[Sequence[str]]) -> str:
    head, *rows = table
    lines = ['<div class="wide"><table><thead><tr>']
    lines += [f'<th scope="col">{shown_text(cell)}</th>' for cell in head]
    lines.append("</tr></thead><tbody>")
    for name, *cells in rows:
        lines.append(f'<tr><th scope="row">{shown_text(name)}</th>')
        lines += [f"<td>{shown_text(cell)}</td>" for cell in cells]
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table></div>"])


def _all_curves(curves: Sequence[tuple[str, str]], folder: Path) -> list[str]:
    figures = (
        f"<figure>{_image(folder, path, f'precision-recall curves, {what}')}</figure>"
        for path, what in curves
    )
    return ['<div class="curves">', *figures, "</div>"]


def _overview(entries: Sequence[tuple[int, Entry]], protocols: Sequence[str]) -> str:
    names = ["query", *protocols]
    lines = [
        '<p class="quiet">Average precision; a click on a heading sorts by it.</p>',
        '<div class="wide"><table class="sortable"><thead><tr>',
    ]
    for name in names:
        sort = ' aria-sort="ascending"' if name == protocols[0] else ""
        lines.append(
            f'<th scope="col"{sort}><button type="button">{shown_text(name)}</button></th>'
        )
    lines.append("</tr></thead><tbody>")
    for number, entry in entries:
        label = shown_text(entry.sheet.label)
        lines.append(f'<tr><td data-value="{label}"><a href="#query-{number}">{label}</a></td>')
        for protocol in protocols:
            value = entry.precisions[protocol]
            exact = "" if math.isnan(value) else f"{value:.6f}"
            lines.append(f'<td data-value="{exact}">{_percent(value)}</td>')
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table></div>"])


def _legend(entries: Sequence[Entry]) -> str:
    used = {result.verdict for entry in entries for result in entry.sheet.results}
    meanings = {
        "right": "shows what is asked for",
        "wrong": "does not",
        "junk": "is not counted",
        "the same": "shows the same thing, in all probability",
        "perhaps": "may show it",
        "not here": "in all probability shows something else",
    }
    words = [
        f"{_verdict(verdict)} {meaning}" for verdict, meaning in meanings.items() if verdict in used
    ]
    lines = "Lines join the points by which a photo was recognised (inliers of one affine map)."
    return f'<p class="quiet">{"; ".join(words)}{". " if words else ""}{lines}</p>'


def _article(number: int, entry: Entry, folder: Path) -> list[str]:
    sheet = entry.sheet
    alt = f"query {sheet.label} and its first {len(sheet.results)} results, listed below"
    picture = _image(folder, entry.picture, alt, lazy=True)
    parts = [
        f'<article id="query-{number}"><h3>{shown_text(sheet.label)}</h3>',
        f'<a class="sheet" href="{_address(entry.picture)}">{picture}</a>',
    ]
    head = ("rank", "photo", "verdict", "inliers", "votes")
    rows = "".join(
        f"<tr><td>{result.rank}</td><td>{shown_text(result.name)}</td>"
        f"<td>{_verdict(result.verdict)}</td>"
        f"<td>{plain_number(result.inliers)}</td><td>{plain_number(result.votes)}</td></tr>"
        for result in sheet.results
    )
    parts += [
        "<details><summary>"
        + ("Results as a list, and the curve" if entry.curve else "Results as a list")
        + '</summary><div class="row"><div class="wide"><table class="words"><thead><tr>',
        *(f'<th scope="col">{cell}</th>' for cell in head),
        f"</tr></thead><tbody>{rows}</tbody></table></div>",
    ]
    if entry.curve:
        parts.append(_image(folder, entry.curve, f"precision-recall curves of {sheet.label}"))
    parts.append("</div></details></article>")
    return parts


def _verdict(verdict: str) -> str:
    mark = VERDICTS[verdict][0]
    return f'<span class="{verdict.replace(" ", "-")}">{mark}{" " if mark else ""}{verdict}</span>'


def _image(folder: Path, path: str, alt: str, lazy: bool = False) -> str:
    with Image.open(folder / path) as picture:
        width, height = picture.size  # so that the page does not jump while pictures come
    loading = ' loading="lazy"' if lazy else ""
    return (
        f'<img src="{_address(path)}" alt="{shown_text(alt)}" '
        f'width="{width}" height="{height}"{loading}>'
    )


def _address(path: str) -> str:
    return html.escape(quote(path))


def shown_text(value: object) -> str:
    """Return any text such that it shows as it is, in text and in attributes."""
    return html.escape(str(value).encode("utf-8", "replace").decode())


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2%}"
