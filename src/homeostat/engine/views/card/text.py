"""A model card as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core.text.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from homeostat.engine.views.card.build import Card, Section


def to_markdown(card: Card) -> str:
    """The card as one Markdown document; what came with the data cannot break its tables."""
    lines = [f"# {card.loop}, version {card.version}", "", _plain(card.summary)]
    for section in card.sections:
        lines += ["", f"## {_plain(section.title)}", *_section(section)]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    if section.facts:
        yield from _table(("", ""), tuple(section.facts.items()))
    if section.rows:
        yield from _table(section.columns, section.rows)
    if section.notes:
        yield ""
        yield from (f"- {_plain(note)}" for note in section.notes)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(map(_plain, columns))} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    yield from (f"| {' | '.join(map(_plain, row))} |" for row in rows)


def _plain(value: str) -> str:
    return plain(" ".join(str(value).split())).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
