"""A grammar of what exports look like: tables with the values that they mean, written in the ways of programs.

A `Table` is what somebody meant: a key, a time, a target and some features. A `Style` is how a program exported it: its
separator, its dates, its decimal marks, its words for nothing. A `Slip` is what goes wrong in one export among many.
"""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

START = datetime(2024, 1, 1, tzinfo=UTC)
EXACT = 2**53


@dataclass(frozen=True)
class Column:
    """One column of a style: what its values mean, how each is written, and what a source declares to read them.

    Attributes:
        name: Its name in the file.
        make: A row's value, from its number and a source of randomness.
        write: The value as text; None is never given to it.
        declared: Keyword arguments of a source that make it read so; those of all columns are merged.
        null: What stands for nothing; None for a column that has a value in every row.
        read: The value as a table gives it back, where it is not what was meant.
    """

    name: str
    make: Callable[[int, random.Random], Any]
    write: Callable[[Any], str] = str
    declared: dict[str, Any] = field(default_factory=dict)
    null: str | None = None
    read: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Style:
    """How a program exports: its columns, how a file is put together, and the types of a Parquet file's columns."""

    columns: tuple[Column, ...]
    kind: str = "csv"
    separator: str = ","
    newline: str = "\n"
    bom: bool = False
    quote_all: bool = False
    types: tuple[Any, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether its files are CSV, which says nothing of types."""
        return self.kind.startswith("csv")

    @property
    def declared(self) -> dict[str, Any]:
        """What a source has to declare to read this style."""
        said: dict[str, Any] = {} if self.separator == "," or not self.is_text else {"separator": self.separator}
        for column in self.columns if self.is_text else ():
            for name, value in column.declared.items():
                said[name] = {**said.get(name, {}), **value} if isinstance(value, dict) else value
        return said

    @property
    def suffix(self) -> str:
        """How the file's name ends."""
        return {"csv": ".csv", "csv.gz": ".csv.gz", "parquet": ".parquet", "jsonl": ".jsonl"}[self.kind]


def _number(row: int, rng: random.Random) -> float:
    return round(rng.uniform(-900, 900) * 10 ** rng.choice((0, 0, 0, 3)), rng.choice((0, 2, 3)))


def _positive(row: int, rng: random.Random) -> float:
    return round(rng.uniform(0.01, 90_000), 2)


def _whole(row: int, rng: random.Random) -> int:
    return rng.choice((0, 1, -1, 7, 2**31, EXACT + 1, -(2**59), rng.randint(-500, 500)))


def _price(value: float, decimal: str, thousands: str) -> str:
    return f"{value:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)


def numbers(name: str) -> st.SearchStrategy[Column]:
    """Columns of numbers as exports write them."""
    comma = {"decimal": {name: ","}}
    return st.sampled_from(
        (
            Column(name, _number, repr),
            Column(name, _number, repr, null=""),
            Column(name, _number, repr, null="NA"),
            Column(name, _number, repr, null="#N/A"),
            Column(name, _number, repr, null="\\N"),
            Column(name, _number, repr, {"nulls": {name: ["?"]}}, null="?"),
            Column(name, _number, lambda value: f"{value:.3e}", read=lambda value: float(f"{value:.3e}")),
            Column(name, _number, lambda value: repr(value).replace(".", ","), comma, null=""),
            Column(name, _positive, lambda v: _price(v, ".", ","), {"thousands": {name: ","}}),
            Column(name, _positive, lambda v: _price(v, ",", "."), {**comma, "thousands": {name: "."}}),
            Column(name, _positive, lambda v: _price(v, ",", " "), {**comma, "thousands": {name: " "}}),
            Column(name, _positive, lambda v: f"${_price(v, '.', ',')}", {"thousands": {name: ","}}, null="-"),
            Column(name, _positive, lambda v: f"{_price(v, ',', '.')} €", {**comma, "thousands": {name: "."}}),
            Column(name, _positive, lambda v: f"{v}%", {"decimal": {name: "."}}),
            Column(name, _number, lambda v: f"({-v})" if v < 0 else repr(v), {"decimal": {name: "."}}, null="None"),
            Column(name, _whole, str),
            Column(name, _whole, str, null=""),
            Column(name, lambda row, rng: rng.random() < 0.5, lambda v: "TRUE" if v else "FALSE"),
            Column(name, lambda row, rng: rng.random() < 0.5, lambda v: "true" if v else "false", null="NULL"),
        )
    )


WORDS = (
    "red",
    "NA",
    "None",
    "null",
    "N/A",
    "-",
    "?",
    "#N/A",
    "nan",
    "Ünïcödé",
    "a/b",
    'say "hi"',
    "x;y,z|w",
    "  ",
    "1e5x",
)
LINES = ("first\nsecond", "tab\there", "日本語", "🦜", "0x1F", "'=1+1'", "\\N.", "a\\b", "é\u0301")


def texts(name: str) -> st.SearchStrategy[Column]:
    """Columns of text: categories that look like nothing, codes that look like numbers, sentences."""
    return st.sampled_from(
        (
            Column(name, lambda row, rng: rng.choice(WORDS[:4])),
            Column(name, lambda row, rng: rng.choice(WORDS)),
            Column(name, lambda row, rng: rng.choice(WORDS + LINES)),
            Column(name, lambda row, rng: f"{rng.choice(WORDS)} {rng.randint(0, 10**6)}"),
            Column(name, lambda row, rng: f"{rng.randint(0, 999):05d}", declared={"text": (name,)}),
            Column(name, lambda row, rng: rng.choice(WORDS[:2]), null=""),
        )
    )


def _moment(row: int, rng: random.Random) -> datetime:
    return START + timedelta(hours=row)


def _day(row: int, rng: random.Random) -> datetime:
    return START + timedelta(days=row)


def _paris(moment: datetime) -> str:
    return moment.astimezone(_zone(2)).isoformat()


def _zone(hours: int) -> Any:
    from datetime import timezone

    return timezone(timedelta(hours=hours))


def _form(name: str, form: str, make: Callable[[int, random.Random], Any] = _moment) -> Column:
    return Column(name, make, lambda moment: moment.strftime(form), {"dates": {name: form}})


def times(name: str) -> st.SearchStrategy[Column]:
    """Event times as exports write them."""
    return st.sampled_from(
        (
            Column(name, _moment, lambda m: m.strftime("%Y-%m-%d %H:%M:%S")),
            Column(name, _moment, lambda m: m.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Column(name, _moment, lambda m: m.strftime("%Y-%m-%d %H:%M:%S UTC")),
            Column(name, _moment, lambda m: m.strftime("%Y/%m/%d %H:%M")),
            Column(
                name,
                _moment,
                lambda m: m.strftime("%Y-%m-%dT%H:%M:%S.000123Z"),
                read=lambda m: m + timedelta(microseconds=123),
            ),
            Column(name, _moment, _paris),
            Column(name, _moment, lambda m: _paris(m) if m.hour % 2 else m.isoformat()),
            Column(name, _day, lambda m: m.strftime("%Y-%m-%d")),
            _form(name, "%m/%d/%Y", _day),
            _form(name, "%d/%m/%Y", _day),
            _form(name, "%d.%m.%Y", _day),
            _form(name, "%d.%m.%Y %H:%M"),
            _form(name, "%m/%d/%Y %I:%M %p"),
            _form(name, "%m/%d/%y", _day),
            _form(name, "%d-%b-%Y", _day),
            Column(name, _moment, lambda m: str(int(m.timestamp())), {"dates": {name: "s"}}),
            Column(name, _moment, lambda m: str(int(m.timestamp() * 1000)), {"dates": {name: "ms"}}),
        )
    )


def keys(name: str) -> st.SearchStrategy[Column]:
    """Keys: each row has its own, whatever characters it is made of."""
    return st.sampled_from(
        (
            Column(name, lambda row, rng: f"r{row}"),
            Column(name, lambda row, rng: row),
            Column(name, lambda row, rng: f"a/b/{row}"),
            Column(name, lambda row, rng: f'"{row}", he said'),
            Column(name, lambda row, rng: f"{row:07d}", declared={"text": (name,)}),
            Column(name, lambda row, rng: f"ключ {row} 🔑"),
        )
    )


def targets(name: str) -> st.SearchStrategy[Column]:
    """Targets that every other column leaves to be guessed: classes and numbers."""
    return st.sampled_from(
        (
            Column(name, lambda row, rng: row % 2),
            Column(name, lambda row, rng: ("no", "yes")[row % 2]),
            Column(name, lambda row, rng: ("None", "Mild", "NA")[row % 3]),
            Column(name, lambda row, rng: row % 3 == 0, lambda v: "True" if v else "False"),
            Column(name, lambda row, rng: round(row % 7 + rng.random(), 3), repr),
        )
    )


_TYPES: dict[type, tuple[Any, ...]] = {
    float: (pl.Float64, pl.Decimal(30, 3)),
    int: (pl.Int64, pl.Int128, pl.Decimal(30, 0)),
    bool: (pl.Boolean,),
    str: (pl.String, pl.Categorical),
    datetime: (
        pl.Datetime("us", "UTC"),
        pl.Datetime("ns", "UTC"),
        pl.Datetime("ms", "UTC"),
        pl.Datetime("us", "Europe/Paris"),
        pl.Datetime("us", "America/New_York"),
    ),
}
"""The types in which programs store these values in Parquet files."""


@st.composite
def styles(draw: st.DrawFn) -> Style:
    """A program's exports."""
    columns = [draw(keys("id")), draw(times("at"))]
    columns += [draw(numbers(f"n{place}")) for place in range(draw(st.integers(1, 3)))]
    columns += [draw(texts(f"t {place}")) for place in range(draw(st.integers(0, 2)))]
    columns.append(draw(targets("y")))
    columns = draw(st.permutations(columns))
    kind = draw(st.sampled_from(("csv", "csv", "csv", "csv.gz", "jsonl", "parquet")))
    if kind in ("jsonl", "parquet"):
        types = tuple(draw(st.sampled_from(_TYPES[type(column.make(3, random.Random(3)))])) for column in columns)
        return Style(tuple(columns), kind, types=types)
    return Style(
        tuple(columns),
        kind,
        separator=draw(st.sampled_from((",", ",", ";", "\t", "|"))),
        newline=draw(st.sampled_from(("\n", "\r\n"))),
        bom=draw(st.booleans()),
        quote_all=draw(st.booleans()),
    )


def meant(style: Style, first: int, rows: int, seed: int) -> dict[str, list[Any]]:
    """The values of some rows of a style, column by column; null in a tenth of the rows of columns that have a word."""
    found: dict[str, list[Any]] = {column.name: [] for column in style.columns}
    for row in range(first, first + rows):
        for column in style.columns:
            rng = random.Random(f"{seed} {column.name} {row}")
            empty = column.null is not None and rng.random() < 0.1
            found[column.name].append(None if empty else column.make(row, rng))
    return found


def written(style: Style, values: dict[str, list[Any]]) -> bytes:
    """The file that the style's program exports."""
    if style.kind == "parquet":
        buffer = io.BytesIO()
        typed = zip(style.columns, style.types, strict=True)
        frame = [pl.Series(column.name, values[column.name], strict=False).cast(kind) for column, kind in typed]
        pl.DataFrame(frame).write_parquet(buffer)
        return buffer.getvalue()
    if style.kind == "jsonl":
        return (
            pl.DataFrame(
                {
                    name: [one.isoformat() if isinstance(one, datetime) else one for one in column]
                    for name, column in values.items()
                },
                strict=False,
            )
            .write_ndjson()
            .encode()
        )
    lines = [style.separator.join(_cell(column.name, style) for column in style.columns)]
    for row in zip(*(values[column.name] for column in style.columns), strict=True):
        cells = (
            (column.null or "") if value is None else _cell(column.write(value), style)
            for column, value in zip(style.columns, row, strict=True)
        )
        lines.append(style.separator.join(cells))
    text = style.newline.join([*lines, ""]).encode()
    data = b"\xef\xbb\xbf" + text if style.bom else text
    return gzip.compress(data, 1, mtime=0) if style.kind == "csv.gz" else data


def _cell(text: str, style: Style) -> str:
    if style.quote_all or any(mark in text for mark in (style.separator, '"', "\n", "\r")):
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def read_back(style: Style, values: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What a table gives back for these values."""
    plain = not style.is_text
    return {
        column.name: [None if one is None else one if plain else column.read(one) for one in values[column.name]]
        for column in style.columns
    }


Slip = Callable[[bytes, random.Random], bytes]
"""What goes wrong with one file."""


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(1, max(1, len(data) - 1))]


def _byte(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    lines.insert(
        rng.randrange(len(lines) + 1), rng.choice((b"", b",,,,", b"garbage", b'"', b"\xff\xfe", b"\0", b"1;2,3\t4|5"))
    )
    return b"\n".join(lines)


def _swap(old: bytes, news: tuple[bytes, ...]) -> Slip:
    return lambda data, rng: data.replace(old, rng.choice(news), 1)


SLIPS: tuple[Slip, ...] = (
    _cut,
    _byte,
    _line,
    lambda data, rng: data.replace(b"\n", b",\n"),
    lambda data, rng: b"," + data.replace(b"\n", b"\n0,"),
    lambda data, rng: data.decode(errors="replace").encode("utf-16"),
    lambda data, rng: data.decode(errors="replace").encode("latin1", errors="replace"),
    lambda data, rng: data + data,
    lambda data, rng: data[::-1],
    lambda data, rng: b"[" * 100_000 + data,
    lambda data, rng: b"",
    lambda data, rng: b"PAR1" + data + b"PAR1",
    lambda data, rng: gzip.compress(data, mtime=0),
    _swap(b'"n0":', (b'"n0":1,"n0":', b'"n0":{},"N":', b'"n0":[[[')),
    _swap(b"2024", (b"9999", b"10000", b"0000", b"-2024", b"20 24", b"1066", b"24")),
    _swap(b"at", (b"AT", b"", b" at ", b"id", b"a\nt", b"n0")),
    _swap(b"n0", (b"N1", b"id", b"y", b"n\x00", b'"n0', b"n1")),
    _swap(b"0", (b"NaN", b"inf", b"1e999", b"9" * 40, b"NA", b"", b"None", b"-0.0", b"0x0", "٣".encode(), b"1_0")),
)
"""What goes wrong: cut and damaged files, invented columns, other encodings, other names, impossible values."""
