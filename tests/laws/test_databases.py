"""The law of whatever keeps a ledger's tables: held by SQLite, in a file and in memory, and by one of a test's own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from homeostat.core import events as ev
from homeostat.core.errors import ConflictError, IntegrityError, RefusedError, StoreError
from homeostat.core.ledger import Ledger
from homeostat.core.ledger.sqlite import SqliteDatabase
from homeostat.core.store import Store
from tests.ci.small_loop import small_loop
from tests.engine.driver import START, Driver
from tests.laws.trained import first_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from homeostat.core.ports import Database

TABLES = sa.MetaData()
COUNTS = sa.Table("counts", TABLES, sa.Column("name", sa.Text, primary_key=True), sa.Column("count", sa.Integer))
LATER = sa.Table("later", sa.MetaData(), sa.Column("name", sa.Text))
NAMED = sa.select(COUNTS).where(COUNTS.c.name == sa.bindparam("wanted"))


class LockedDatabase:
    """One connection behind one lock: whoever reads or writes does so alone."""

    name = "locked"

    def __init__(self) -> None:
        self._engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
        self._lock = threading.RLock()
        self._writes = 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sa.exc.IntegrityError as error:
                raise ConflictError(str(error)) from error
            except sa.exc.DatabaseError as error:
                raise StoreError(str(error)) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._alone(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self._alone(), self._engine.begin() as connection:
            yield connection
            self._writes += 1

    def look_up(self, statement: sa.Select[Any], value: str) -> Sequence[Any] | None:
        (parameter,) = statement.compile().params
        with self.reading() as connection:
            return connection.execute(statement, {parameter: value}).first()

    def changes(self) -> LockedDatabase:
        return self

    def mark(self) -> object:
        return self._writes

    @contextmanager
    def scratch(self) -> Iterator[sa.Connection]:
        with LockedDatabase().reading() as connection:
            yield connection

    def check(self) -> None:
        pass

    def about(self) -> str:
        return "one connection behind a lock"

    def close(self) -> None:
        pass


@pytest.fixture(params=["file", "memory", "locked"])
def empty(request, tmp_path: Path) -> Iterator[Database]:
    made: dict[str, Any] = {
        "file": lambda: SqliteDatabase(tmp_path / "a file?#%.db"),
        "memory": lambda: SqliteDatabase(":memory:"),
        "locked": LockedDatabase,
    }
    database = made[request.param]()
    yield database
    database.close()


@pytest.fixture
def database(empty: Database) -> Database:
    with empty.writing() as connection:
        TABLES.create_all(connection)
        connection.execute(sa.insert(COUNTS).values(name="a", count=0))
    return empty


def count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(sa.select(COUNTS.c.count)).scalar_one())


def test_what_a_block_wrote_is_kept_whole(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sa.update(COUNTS).values(count=7))
    assert count(database) == 7


@pytest.mark.parametrize("error", [ValueError("ours"), RefusedError("no"), KeyboardInterrupt()])
def test_of_a_block_that_raises_nothing_is_kept_and_the_error_is_as_it_was(database: Database, error) -> None:
    def block() -> None:
        with database.writing() as connection:
            connection.execute(sa.update(COUNTS).values(count=7))
            raise error

    with pytest.raises(type(error)) as caught:
        block()
    assert caught.value is error
    assert count(database) == 0


def test_writers_wait_for_each_other(database: Database) -> None:
    def add(_: int) -> None:
        with database.writing() as connection:
            now = connection.execute(sa.select(COUNTS.c.count)).scalar_one()
            connection.execute(sa.update(COUNTS).values(count=now + 1))

    if isinstance(database, SqliteDatabase) and database.name == ":memory:":
        pytest.skip("a ledger in memory has one connection, for one thread")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert count(database) == 40


def test_errors_are_ours(database: Database) -> None:
    with pytest.raises(ConflictError), database.writing() as connection:
        connection.execute(sa.insert(COUNTS).values(name="a", count=1))
    for block in (database.reading, database.writing):
        with pytest.raises(StoreError), block() as connection:
            connection.execute(sa.select(LATER))
    with pytest.raises(StoreError):
        database.look_up(sa.select(LATER).where(LATER.c.name == sa.bindparam("wanted")), "a")
    assert count(database) == 0


@pytest.mark.parametrize("name", ["a", "", "b", "'; drop table counts; --", "\u00e9\U0001f600", "x" * 10_000])
def test_a_row_that_is_looked_up_is_the_one_that_is_there(database: Database, name: str) -> None:
    with database.writing() as connection:
        connection.execute(sa.delete(COUNTS))
    assert database.look_up(NAMED, name) is None
    with database.writing() as connection:
        connection.execute(sa.insert(COUNTS), [{"name": name, "count": 3}, {"name": f"{name}!", "count": 4}])
    assert tuple(database.look_up(NAMED, name) or ()) == (name, 3)


def test_who_watches_is_told_of_every_write(database: Database) -> None:
    changes = database.changes()
    marks = [changes.mark()]
    for number in range(1, 4):
        with database.writing() as connection:
            connection.execute(sa.update(COUNTS).values(count=number))
        marks.append(changes.mark())
    assert all(before != after for before, after in pairwise(marks))
    changes.close()


def test_who_watches_a_file_is_not_told_when_nothing_was_written(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "file.db")
    changes = database.changes()
    before = changes.mark()
    with database.reading() as connection:
        connection.execute(sa.select(sa.literal(1)))
    assert changes.mark() == before
    changes.close()


def test_a_scratch_is_empty_and_touches_nothing(database: Database) -> None:
    for _ in range(2):
        with database.scratch() as connection:
            assert not sa.inspect(connection).has_table("counts")
            TABLES.create_all(connection)
            connection.execute(sa.insert(COUNTS).values(name="a", count=99))
            assert count(database) == 0


def test_it_says_what_it_is_and_is_whole(database: Database) -> None:
    database.check()
    assert database.name
    assert database.about()


def test_a_ledger_over_it_is_chained_verified_and_mended(empty: Database) -> None:
    driver = Driver(ledger=Ledger(empty))
    driver.start()
    first = driver.register()
    assert driver.ledger.verify() == driver.ledger.newest()
    with empty.writing() as connection:
        connection.exec_driver_sql("update versions set state = 'retired'")
    with pytest.raises(IntegrityError, match="versions"):
        driver.ledger.verify()
    driver.ledger.rebuild()
    assert driver.ledger.verify() == driver.ledger.newest()
    again = Ledger(empty, create=False)
    assert [row.version for row in again.versions("loop")] == [first]
    assert again.heads() == driver.ledger.heads()


def test_a_ledger_over_it_gives_leases_with_fences(empty: Database) -> None:
    ledger = Ledger(empty)
    held = ledger.acquire("work", "a", ttl=timedelta(minutes=1), now=START)
    with pytest.raises(ConflictError, match="held by a"):
        ledger.acquire("work", "b", ttl=timedelta(minutes=1), now=START)
    taken = ledger.acquire("work", "b", ttl=timedelta(minutes=1), now=START + timedelta(minutes=2))
    fact = ev.LoopStarted(loop="loop", who="ann", declaration="d")
    with pytest.raises(ConflictError, match="passed to another"):
        ledger.append(fact, time=START, lease=held)
    assert ledger.append(fact, time=START, lease=taken).seq == 1


def test_an_empty_one_is_refused_where_no_ledger_may_be_begun(empty: Database) -> None:
    with pytest.raises(StoreError, match=f"the ledger .*{empty.name[-6:-3]}.* holds nothing"):
        Ledger(empty, create=False)


def test_a_loop_trains_over_a_database_of_ones_own(tmp_path: Path) -> None:
    store = Store(tmp_path, Ledger(LockedDatabase()))
    assert first_version(store, small_loop()) == 1
    assert store.ledger.verify() == store.ledger.newest()
    assert not (tmp_path / "ledger.sqlite").exists()
