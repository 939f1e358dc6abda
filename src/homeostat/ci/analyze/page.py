"""The page of a data report: what needs attention first, then what changed, the target, and every column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.ci.analyze.pictures import AMBER, BLUE, Histogram, bars, line, share
from homeostat.core.text.plain import plain_html as escape

if TYPE_CHECKING:
    from homeostat.ci.analyze.changes import Change

_MOST_COLUMNS = 300
_MOST_CHANGES = 40
_MOST_WARNINGS = 20
_LARGE = 0.25
_SPARSE = 0.5
_SIZED = ("distribution", "missing")
_SIZE = "population stability index above its noise, or the change of the missing share"
_LEGEND = ((BLUE, "now"), (AMBER, "previous"))

_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#f5f7f9;color:#1f2933;font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:24px;margin:0 0 2px}h2{font-size:16px;margin:0 0 12px}
p{margin:0 0 8px}.muted{color:#616e7c}.small{font-size:12.5px}
section{background:#fff;border:1px solid #e4e9ee;border-radius:10px;padding:18px 20px;margin-top:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:18px}
.tile{background:#fff;border:1px solid #e4e9ee;border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:20px;font-weight:600;line-height:1.3}
.warn{background:#fff8ec;border-color:#f0d9b0}.warn ul{margin:0;padding-left:18px}
.fine{background:#f1f8f3;border-color:#cfe6d6}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:600;font-size:12px;color:#616e7c;border-bottom:1px solid #d5dce3;padding:4px 10px 6px 0}
td{padding:7px 10px 7px 0;border-bottom:1px solid #eef1f4;vertical-align:middle}tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
.tag{display:inline-block;font-size:11px;border-radius:4px;padding:0 6px;white-space:nowrap}
.tag{background:#eef2f6;color:#52606d}
.tag.target{background:#e0f0e6;color:#276749}.tag.suspect{background:#fdecd2;color:#8a5a12}
.three{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:28px}svg{display:block;max-width:100%}
.key{display:inline-block;width:12px;height:9px;border-radius:2px;margin:0 4px 0 12px}
"""


def page(now: dict[str, Any], previous: dict[str, Any] | None, changes: list[Change]) -> str:
    """The whole report as one HTML document; every text that came with the data is escaped."""
    target = now["spec"]["target"]
    parts = [
        f"<h1>Data report{f': {_e(target)}' if target else ''}</h1>",
        (
            f'<p class="muted">{now["rows"]:,} rows from {_e(_moment(now["time"]["start"]))} to '
            f"{_e(_moment(now['time']['end']))} UTC</p>"
        ),
        _tiles(now, previous),
        _attention(now, changes),
        _changes(now, previous, changes),
        _target(now, previous),
        _columns(now),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Data report</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _tiles(now: dict[str, Any], previous: dict[str, Any] | None) -> str:
    columns = now["columns"]
    features = sum(column["role"] == "feature" for column in columns.values())
    cells = sum(column["rows"] for column in columns.values())
    nulls = sum(column["nulls"] for column in columns.values())
    change = f"{now['rows'] - previous['rows']:+,} since the previous run" if previous else "first run"
    tiles = [("rows", f"{now['rows']:,}", change), ("features", str(features), f"{len(columns)} columns in all")]
    tiles.append(("missing cells", f"{nulls / cells:.2%}", f"{nulls:,} of {cells:,}"))
    if now["labels"] is not None:
        labelled = now["labels"]["labelled"]
        tiles.append(("labelled rows", f"{labelled / now['rows']:.1%}", f"{labelled:,}"))
        if now["labels"]["delay"]:
            low, middle, high = now["labels"]["delay"]
            tiles.append(("label delay", _span(middle), f"5 % to 95 %: {_span(low)} to {_span(high)}"))
    shown = (
        f'<div class="tile"><span class="muted small">{name}</span><b>{_e(value)}</b>'
        f'<span class="muted small">{_e(more)}</span></div>'
        for name, value, more in tiles
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def _attention(now: dict[str, Any], changes: list[Change]) -> str:
    found = [_e(suspect["reason"]) for suspect in now["suspects"]]
    for name, column in now["columns"].items():
        if column["nulls"] == column["rows"]:
            found.append(f"<code>{_e(name)}</code> is empty")
        elif column["role"] == "feature" and column.get("distinct") == 1 and not column["nulls"]:
            found.append(f"<code>{_e(name)}</code> has the same value in every row")
        elif column["role"] == "feature" and column["nulls"] / column["rows"] > _SPARSE:
            found.append(f"<code>{_e(name)}</code> is missing in {column['nulls'] / column['rows']:.0%} of the rows")
    found += [_told(change) for change in changes if change.size >= _LARGE]
    if not found:
        return (
            '<section class="fine"><h2>Nothing needs attention</h2><p class="muted">No suspected leak, no empty or '
            "constant feature, no large change.</p></section>"
        )
    more = f"<li>and {len(found) - _MOST_WARNINGS} more</li>" if len(found) > _MOST_WARNINGS else ""
    items = "".join(f"<li>{one}</li>" for one in found[:_MOST_WARNINGS])
    return f'<section class="warn"><h2>Needs attention</h2><ul>{items}{more}</ul></section>'


def _told(change: Change) -> str:
    name = f"<code>{_e(change.column)}</code>"
    if change.what in ("new", "gone"):
        return f"{name} is {change.what}"
    if change.what == "type":
        return f"{name} was {_e(change.before)}, is {_e(change.after)}"
    return f"{name} changed: {_e(change.before)} → {_e(change.after)}"


def _changes(now: dict[str, Any], previous: dict[str, Any] | None, changes: list[Change]) -> str:
    if previous is None:
        return (
            '<section><h2>Since the previous run</h2><p class="muted">This is the first run: there is nothing to '
            "compare with yet.</p></section>"
        )
    keys = (f'<span class="key" style="background:{color}"></span>{name}' for color, name in _LEGEND)
    legend = "".join(keys)
    title = f'<h2>Since the previous run <span class="muted small">{legend}</span></h2>'
    if not changes:
        return f'<section>{title}<p class="muted">No column changed notably.</p></section>'
    largest = max((min(change.size, 1.0) for change in changes if change.what in _SIZED), default=1.0)
    lines = []
    for change in changes[:_MOST_CHANGES]:
        column = now["columns"].get(change.column, {})
        before = previous["columns"].get(change.column, {})
        size = f"{change.size:.2f}" if change.what in _SIZED else ""
        lines.append(
            f"<tr><td><code>{_e(change.column)}</code></td><td>{change.what}</td><td>{_e(change.before)}</td>"
            f'<td>{_e(change.after)}</td><td class="n">{size}</td>'
            f"<td>{_bar(change, largest)}</td><td>{_overlay(column, before)}</td></tr>"
        )
    same = sum(name in previous["columns"] for name in now["columns"]) - len({change.column for change in changes})
    return (
        f"<section>{title}<table><tr><th>column</th><th>what</th><th>before</th><th>now</th>"
        f'<th class="n" title="{_SIZE}">size</th>'
        f"<th></th><th>distribution</th></tr>{''.join(lines)}</table>"
        f'<p class="muted small" style="margin-top:10px">{max(same, 0)} columns did not change notably.</p></section>'
    )


def _bar(change: Change, largest: float) -> str:
    return share(min(change.size, 1.0) / largest, color=AMBER) if change.what in _SIZED else ""


def _overlay(column: dict[str, Any], before: dict[str, Any]) -> str:
    if "then" not in column:
        return _picture(column)
    if "bars" in column:
        return bars(_histogram(column), before=_histogram(before), title=f"{_ends(column)}, was {_ends(before)}")
    counts = [*(count for _, count in before["top"]), before["other"]]
    names = ", ".join(value for value, _ in before["top"]) + ", others"
    return bars(Histogram(column["then"]["counts"]), before=Histogram(counts), title=names)


def _histogram(column: dict[str, Any]) -> Histogram:
    return Histogram(column["bars"], column["low"], column["high"])


def _target(now: dict[str, Any], previous: dict[str, Any] | None) -> str:
    name = now["spec"]["target"]
    ends = (_day(now["time"]["start"]), _day(now["time"]["end"]))
    parts = []
    if name is not None and name in now["columns"]:
        before = (previous or {}).get("columns", {}).get(name)
        parts.append(f"<div><h2>Target <code>{_e(name)}</code></h2>{_balance(now['columns'][name], before)}</div>")
    answer = now["time"].get("answer")
    if answer:
        drawn = line(now["time"]["target"], labels=ends, title=answer, percent=answer.startswith("share"))
        parts.append(f"<div><h2>Over time: {_e(answer)}</h2>{drawn}</div>")
    parts.append(f"<div><h2>Rows over time</h2>{line(now['time']['rows'], labels=ends, title='rows', zero=True)}</div>")
    return f'<section><div class="three">{"".join(parts)}</div></section>'


def _balance(column: dict[str, Any], before: dict[str, Any] | None) -> str:
    """The classes with their shares, or the distribution of a number."""
    values = column.get("top")
    if values is None and column.get("distinct", 99) <= 2 and "mean" in column:
        ones = (column["mean"] - column["minimum"]) / ((column["maximum"] - column["minimum"]) or 1)
        present = column["rows"] - column["nulls"]
        pairs = {column["maximum"]: round(present * ones), column["minimum"]: round(present * (1 - ones))}
        values = [[f"{value:g}", count] for value, count in sorted(pairs.items())]
    if values is None:
        earlier = _histogram(before) if before and "bars" in before else None
        return bars(_histogram(column), before=earlier, width=320, height=70) + _summary(column)
    total = max(1, column["rows"] - column["nulls"])
    lines = "".join(
        f'<tr><td><code>{_e(value)}</code></td><td class="n">{count:,}</td><td class="n">{count / total:.1%}</td>'
        f"<td>{share(count / total, width=110)}</td></tr>"
        for value, count in values
    )
    return f"<table>{lines}</table>"


def _columns(now: dict[str, Any]) -> str:
    suspects = {suspect["column"] for suspect in now["suspects"]}
    lines = []
    for name, column in list(now["columns"].items())[:_MOST_COLUMNS]:
        tag = (
            f' <span class="tag {_e(column["role"])}">{_e(column["role"])}</span>'
            if column["role"] != "feature"
            else ""
        )
        tag += ' <span class="tag suspect">suspected leak</span>' if name in suspects else ""
        missing = column["nulls"] / column["rows"]
        distinct = f"{column['distinct']:,}" if "distinct" in column else ""
        lines.append(
            f"<tr><td><code>{_e(name)}</code>{tag}</td><td class='muted'>{column['kind']}</td>"
            f'<td class="n">{f"{missing:.1%}" if missing else "—"}</td><td>{share(missing, color=AMBER, width=50)}</td>'
            f'<td class="n">{distinct}</td><td>{_summary(column)}</td><td>{_picture(column)}</td></tr>'
        )
    hidden = len(now["columns"]) - len(lines)
    more = f'<p class="muted small">and {hidden:,} more columns</p>' if hidden else ""
    return (
        "<section><h2>Columns</h2><table><tr><th>name</th><th>kind</th><th class='n'>missing</th><th></th>"
        f"<th class='n'>distinct</th><th>values</th><th>distribution</th></tr>{''.join(lines)}</table>{more}</section>"
    )


def _summary(column: dict[str, Any]) -> str:
    if "mean" in column:
        low, high = column["quantiles"][1], column["quantiles"][-2]
        return (
            f"{column['mean']:,.4g} ± {column['std']:,.3g}<br><span class='muted small'>{_ends(column)}; "
            f"5 % to 95 %: {low:,.4g} to {high:,.4g}</span>"
        )
    if column.get("top"):
        total = max(1, column["rows"] - column["nulls"])
        listed = [f"{_e(_short(value))} {count / total:.0%}" for value, count in column["top"][:3]]
        if column["top"][0][1] <= 1:
            return f"<span class='muted small'>such as <code>{_e(_short(column['top'][0][0]))}</code></span>"
        return ", ".join(listed)
    if column["kind"] == "key":
        return f"<span class='muted small'>such as <code>{_e(_short(column['example']))}</code></span>"
    if column["kind"] == "time" and column["minimum"] != "None":
        return f"<span class='muted small'>{_e(_moment(column['minimum']))} to {_e(_moment(column['maximum']))}</span>"
    return ""


def _picture(column: dict[str, Any]) -> str:
    if "bars" in column:
        return bars(_histogram(column), title=_ends(column))
    if column.get("top") and column["top"][0][1] > 1:
        counts = [count for _, count in column["top"]] + ([column["other"]] if column["other"] else [])
        names = ", ".join(value for value, _ in column["top"]) + (", others" if column["other"] else "")
        return bars(Histogram(counts), title=names)
    return ""


def _ends(column: dict[str, Any]) -> str:
    return f"{column['minimum']:,.4g} to {column['maximum']:,.4g}" if "mean" in column else ""


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:23] + "…"


def _moment(text: str) -> str:
    return text[:16]


def _day(text: str) -> str:
    return text[:10]


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _e(value: object) -> str:
    return escape(str(value))
