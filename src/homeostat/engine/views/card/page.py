"""A model card as one page that opens without a network: no script, no file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core.text.plain import plain_html as escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.ci.evaluate.report import CalibrationBin
    from homeostat.engine.views.card.build import Card, Section

_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#f5f7f9;color:#1f2933;font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:16px;margin:0 0 10px}p{margin:0 0 8px}
section{background:#fff;border:1px solid #e4e9ee;border-radius:10px;padding:16px 20px;margin-top:14px}
table{border-collapse:collapse;width:100%;margin-top:6px}
th{text-align:left;font-weight:600;font-size:12px;color:#616e7c;border-bottom:1px solid #d5dce3;padding:4px 12px 5px 0}
td{padding:5px 12px 5px 0;border-bottom:1px solid #eef1f4;vertical-align:top;overflow-wrap:break-word}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(130px,max-content) 1fr;gap:3px 18px;margin:0 0 8px}
dt{color:#616e7c}dd{margin:0;overflow-wrap:anywhere}ul{margin:8px 0 0;padding-left:18px}
.state{display:inline-block;border-radius:5px;padding:1px 9px;margin-left:8px;font-size:13px;vertical-align:3px;
background:#eef2f6;color:#52606d}
.champion{background:#e0f0e6;color:#276749}.refused,.rolled_back{background:#fdecea;color:#9b2c2c}
.passed{color:#276749}.bad{color:#9b2c2c;font-weight:600}svg{display:block;margin-top:10px}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
_SIDE = 220
_NUMERIC = frozenset("0123456789.,-+% ")


def to_html(card: Card) -> str:
    """The card as one HTML document; every text that came with the data is escaped."""
    title = f"{card.loop}, version {card.version}"
    parts = [_section(section, card.calibration) for section in card.sections]
    state = f'<span class="state {escape(card.state)}">{escape(card.state.replace("_", " "))}</span>'
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = f"<main><h1>{escape(title)}{state}</h1><p>{_code(card.summary)}</p>{''.join(parts)}</main>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _section(section: Section, bins: Sequence[CalibrationBin]) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.facts:
        facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in section.facts.items())
        parts.append(f"<dl>{facts}</dl>")
    if section.title == "Calibration" and bins:
        parts.append(_diagram(bins))
    if section.rows:
        parts.append(_table(section.columns, section.rows))
    if section.notes:
        parts.append(f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in section.notes)}</ul>")
    return f"<section>{''.join(parts)}</section>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = [all(row[place] and set(row[place]) <= _NUMERIC for row in rows) for place in range(len(columns))]
    marks = [' class="n"' if one else "" for one in numeric]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for mark, name in zip(marks, columns, strict=True))
    lines = ["".join(_cell(mark, value) for mark, value in zip(marks, row, strict=True)) for row in rows]
    return f"<table><thead><tr>{head}</tr></thead><tbody><tr>{'</tr><tr>'.join(lines)}</tr></tbody></table>"


def _cell(mark: str, value: str) -> str:
    if value == "passed":
        mark = ' class="passed"'
    elif value.startswith("REFUSED"):
        mark = ' class="bad"'
    return f"<td{mark}>{escape(value)}</td>"


def _code(text: str) -> str:
    """Words between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _diagram(bins: Sequence[CalibrationBin]) -> str:
    """What came true against what was said; points on the diagonal are calibrated, their area is their rows."""
    most = max((one.rows for one in bins), default=0) or 1
    shapes = [f'<rect width="{_SIDE}" height="{_SIDE}" fill="#f8fafb" stroke="#d5dce3"/>']
    shapes.append(f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" stroke="#7b8794" stroke-dasharray="4 4"/>')
    for one in bins:
        if not one.rows or one.predicted is None or one.observed is None:
            continue
        x, y, radius = one.predicted * _SIDE, (1 - one.observed) * _SIDE, 2.5 + 6 * (one.rows / most) ** 0.5
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#3b7ea1" fill-opacity="0.75"/>')
    words = 'font-size="11" fill="#616e7c"'
    shapes.append(f'<text x="{_SIDE / 2}" y="{_SIDE + 16}" text-anchor="middle" {words}>mean score</text>')
    shapes.append(f'<text x="{_SIDE + 8}" y="{_SIDE / 2}" {words}>came true, from 0 below to 1 above</text>')
    size = f'width="{_SIDE + 230}" height="{_SIDE + 24}" viewBox="-8 -4 {_SIDE + 230} {_SIDE + 24}"'
    return f'<svg {size} role="img" aria-label="reliability diagram">{"".join(shapes)}</svg>'
