"""The report of a demo: one self-contained HTML page with pictures, the figures, and every decision with its reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from homeostat.core import events as ev
from homeostat.core.text.plain import plain_html as escape
from homeostat.demo.figures import Figures, Line, fortnightly
from homeostat.demo.screen import HEADS, number, word
from homeostat.engine.views import charts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from homeostat.core.ledger import Ledger, Recorded
    from homeostat.demo.play import Played
    from homeostat.engine.views.charts import Mark, MarkKind

_MARKS: dict[str, MarkKind] = {
    "retrain": "retrained",
    "asked": "retrained",
    "promoted": "promoted",
    "rolled back": "rolled_back",
    "refused": "refused",
}

_STYLE = """
:root { --ink: #1f2933; --muted: #66727f; --faint: #e4e9ee; --accent: #2f6f9f; --good: #2f7d5b; --bad: #b8484a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 40px 28px 80px; color: var(--ink); background: #fff;
  font: 15px/1.5 Inter, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 19px; margin: 44px 0 6px; }
p { margin: 6px 0 14px; max-width: 76ch; }
.lead, .note { color: var(--muted); }
.facts { display: flex; flex-wrap: wrap; gap: 12px; margin: 24px 0 12px; }
.facts div { flex: 1 1 150px; border: 1px solid var(--faint); border-radius: 10px; padding: 12px 16px; }
.facts b { display: block; font-size: 25px; line-height: 1.25; }
.facts span { color: var(--muted); font-size: 13px; }
figure { margin: 18px 0 8px; }
figure svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; margin: 10px 0; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--faint); }
th, td { padding: 5px 12px 5px 0; vertical-align: top; }
td { border-bottom: 1px solid var(--faint); }
td.n, th.n { text-align: right; white-space: nowrap; }
td.t, span.t { white-space: nowrap; }
tr.total td { font-weight: 700; border-top: 2px solid var(--ink); border-bottom: 0; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.tag { display: inline-block; border-radius: 5px; padding: 0 7px; font-size: 12.5px; font-weight: 600;
  background: var(--faint); white-space: nowrap; }
.tag.promoted { background: #dcefe6; color: var(--good); }
.tag.refused, .tag.rolled { background: #f6e0e0; color: var(--bad); }
.tag.shadow, .tag.canary, .tag.retrain { background: #dfebf4; color: var(--accent); }
.tag.asked { background: #efe4f4; color: #7a4a96; }
code { background: #f4f6f8; border-radius: 4px; padding: 1px 5px; font-size: 13px; }
pre { background: #f4f6f8; border-radius: 8px; padding: 14px 18px; font-size: 13.5px; overflow-x: auto; }
pre i { color: var(--muted); font-style: normal; }
"""


def render(figures: Figures, played: Played, ledger: Ledger, loop: str) -> str:
    """The page."""
    decisions = [one for one in ledger.events(loop=loop, kinds=(ev.Decided,)) if word(_decided(one)) is not None]
    kept = sum(word(_decided(one)) is None for one in ledger.events(loop=loop, kinds=(ev.Decided,)))
    parts = [
        "<h1>A year of real flights through one closed loop</h1>",
        _lead(figures),
        _facts(figures, played, ledger, loop),
        _quality(figures, played, decisions),
        _traffic(ledger, loop, played),
        _months(figures),
        _broken(figures),
        _decisions(decisions, kept),
        _versions(ledger, loop),
        _ask(figures),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>Homeostat demo</title></head><body>{body}</body></html>\n'
    )


def write(path: Path, figures: Figures, played: Played, ledger: Ledger, loop: str) -> None:
    """Write the page to a file."""
    path.write_text(render(figures, played, ledger, loop), encoding="utf-8")


def _lead(figures: Figures) -> str:
    total = figures.total
    return (
        "<p class=lead>Will a flight out of New York arrive more than 15 minutes late? January and February of 2013 "
        "trained the first model. Then every flight was asked about over HTTP at its scheduled time, and its label was "
        "posted when it landed. Homeostat watched, retrained, judged and promoted; nobody helped it, and two people "
        "stood in its way.</p>"
        f"<p>On {total.rows:,} labelled flights the loop reached a ROC AUC of <b>{number(total.loop)}</b>; its own "
        f"first model, never renewed, reached <b>{number(total.frozen)}</b> on the same flights.</p>"
    )


def _facts(figures: Figures, played: Played, ledger: Ledger, loop: str) -> str:
    states = [row.state for row in ledger.versions(loop)]
    promoted = sum(1 for _ in ledger.events(loop=loop, kinds=(ev.Promoted,)))
    worst = max((one.share for one in figures.broken), default=0.0)
    facts = [
        (f"{figures.total.gain:+.3f}", "ROC AUC gained over the frozen model"),
        (f"{len(played.score):,}", f"answers to {played.requests:,} HTTP requests"),
        (f"{len(states)}", f"versions trained, {promoted} of them promoted"),
        (f"{worst:.1%}", "of the answers came from broken candidates"),
        (f"{sum(played.seconds.values()):.0f} s", "for all of it, on this machine"),
    ]
    cards = "".join(f"<div><b>{value}</b><span>{escape(what)}</span></div>" for value, what in facts)
    return f"<div class=facts>{cards}</div>"


def _quality(figures: Figures, played: Played, decisions: Sequence[Recorded]) -> str:
    series = fortnightly(figures, played)
    marks = [mark for one in decisions if (mark := _mark(one)) is not None]
    picture = charts.lines(
        {name: series[name] for name in ("the loop", "first model, frozen")},
        title="Quality, fortnight by fortnight",
        unit="ROC AUC",
        marks=marks,
        between=("the loop", "first model, frozen"),
    )
    return (
        "<h2>What it brought</h2><p>The shaded area is what the loop gained. Below it, what the loop did: every new "
        "model first answers in the shadow, then a canary's share, and becomes the champion only when the judge is "
        "sure.</p>"
        f"<figure>{picture}</figure>"
    )


def _traffic(ledger: Ledger, loop: str, played: Played) -> str:
    changes: list[tuple[datetime, dict[int, float]]] = []
    for one in ledger.events(loop=loop, kinds=(ev.ArmsSet,)):
        assert isinstance(one.event, ev.ArmsSet)
        changes.append((one.time, {arm.version: arm.share for arm in one.event.arms if arm.share > 0}))
    times = played.table["scheduled"]
    picture = charts.shares(changes, times[-1], title="Which version answered")
    note = "<p class=note>Thin steps before each change of colour are the canary's 5 % and 50 %.</p>"
    return f"<figure>{picture}</figure>{note}"


def _months(figures: Figures) -> str:
    rows = [_month(line, "") for line in figures.months] + [_month(figures.total, " class=total")]
    return (
        "<h2>Month by month</h2><p class=note>ROC AUC. Persistence repeats the label that became known last: a stream "
        "report without it can flatter itself.</p>" + _table(HEADS, rows, numbers=range(1, 9))
    )


def _month(line: Line, style: str) -> str:
    colour = "good" if line.gain > 0.001 else "bad" if line.gain < -0.001 else "even"
    cells = [
        line.label,
        f"{line.rows:,}",
        f"{line.late:.0%}",
        number(line.loop),
        number(line.frozen),
        f"<span class={colour}>{line.gain:+.3f}</span>",
        number(line.persistence),
        number(line.loop_loss),
        number(line.frozen_loss),
    ]
    versions = ", ".join(f"v{one}" for one in line.versions)
    last = f"<td>{versions if len(line.versions) <= 4 else f'{len(line.versions)} versions'}</td>"
    return (
        f"<tr{style}><td class=t>{cells[0]}</td>{''.join(f'<td class=n>{cell}</td>' for cell in cells[1:])}{last}</tr>"
    )


def _broken(figures: Figures) -> str:
    if not figures.broken:
        return ""
    heads = ("version", "pushed by", "what they said", "test AUC", "gates", "trial", "answers given")
    rows = []
    for one in figures.broken:
        answers = f"{one.answered:,} ({one.share:.1%})<br><span class=note>a canary may give {one.allowed:.0%}</span>"
        cells = (
            f"v{one.version}",
            f"{escape(one.user)}<br><span class='note t'>{one.at}</span>",
            escape(one.reason),
            number(one.test),
            escape(one.gates),
            escape(one.trial),
            answers,
        )
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return (
        "<h2>Broken candidates, pushed by hand</h2><p>The first was trained on inverted labels: the gates refused it, "
        "and when its author put it on trial all the same, the judge withdrew it. The second looked wonderful, because "
        "the same leak was in its training and its test rows: every gate let it through, and live traffic gave it "
        "away.</p>" + _table(heads, rows)
    )


def _decisions(decisions: Iterable[Recorded], kept: int) -> str:
    rows = []
    for one in decisions:
        event = _decided(one)
        did = word(event) or ""
        who = f"{event.evidence['user']}: " if did == "asked" else ""
        rows.append(
            f"<tr><td class=n>@{one.seq}</td><td class=t>{one.time:%d %b %H:%M}</td>"
            f"<td><span class='tag {did}'>{did}</span></td><td>{escape(who + event.reason)}</td></tr>"
        )
    return (
        f"<h2>Every decision, with its reason</h2><p class=note>Besides these the loop decided {kept:,} times to keep "
        "everything as it was; those stand in the ledger with their reasons too. Ask about any number with "
        "<code>homeostat why @NUMBER</code>.</p>" + _table(("event", "when (UTC)", "", "why"), rows, numbers=[0])
    )


def _versions(ledger: Ledger, loop: str) -> str:
    rows = []
    for row in sorted(ledger.versions(loop), key=lambda one: one.version):
        event = ledger.event(row.seq).event
        assert isinstance(event, ev.VersionRegistered)
        failed = [gate.gate for gate in event.gates if not gate.passed]
        cells = (
            f"<td class=t>v{row.version}</td><td class=t>{row.registered:%d %b}</td>"
            f"<td class=n>{event.trained_rows:,}</td><td class=n>{number(event.test_metrics.get('roc_auc'))}</td>"
            f"<td>{escape('refused by ' + ', '.join(failed) if failed else f'{len(event.gates)} passed')}</td>"
            f"<td>{escape(row.state.replace('_', ' '))}</td><td>{escape(event.trigger.reason)}</td>"
        )
        rows.append(f"<tr>{cells}</tr>")
    heads = ("version", "trained", "rows", "test AUC", "gates", "now", "because")
    return "<h2>Every version</h2>" + _table(heads, rows, numbers=[2, 3])


def _ask(figures: Figures) -> str:
    last = max(figures.total.versions, default=1)
    broken = (
        f"\nhomeostat why {figures.broken[0].version:<20} <i>what became of the broken candidate</i>"
        if figures.broken
        else ""
    )
    return (
        "<h2>Ask on</h2><p>Everything above was read from the ledger, which is still there. In this folder:</p><pre>"
        f"homeostat versions               <i>every model that was trained, with its gates</i>\n"
        f"homeostat why {last:<20} <i>why version {last} was trained and promoted</i>{broken}\n"
        "homeostat verify                 <i>check the hash chain from the first event to the last</i>\n"
        "homeostat up                     <i>go on from here, on the real clock</i></pre>"
    )


def _table(heads: Sequence[str], rows: Iterable[str], *, numbers: Iterable[int] = ()) -> str:
    right = set(numbers)
    cells = "".join(f"<th{' class=n' if place in right else ''}>{head}</th>" for place, head in enumerate(heads))
    return f"<div class=wide><table><tr>{cells}</tr>{''.join(rows)}</table></div>"


def _mark(recorded: Recorded) -> Mark | None:
    """A mark in the picture; what went wrong is named by its version."""
    event = _decided(recorded)
    kind = _MARKS.get(word(event) or "")
    if kind is None:
        return None
    version = re.search(r"version (\d+)", event.reason) if kind in {"rolled_back", "refused"} else None
    return charts.Mark(recorded.time, kind, f"v{version[1]}" if version else "")


def _decided(recorded: Recorded) -> ev.Decided:
    assert isinstance(recorded.event, ev.Decided)
    return recorded.event
