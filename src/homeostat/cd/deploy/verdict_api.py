"""The judge as JSON: what it says of a loop's trial, or of losses that somebody sends, for tools that roll out models.

Argo Rollouts reads a field of `GET /judge`, Flagger takes 2xx from `POST /judge/gate` as "go on", and a job takes the
exit code of `homeostat judge`. Nothing here changes anything: the first asks the ledger, the second is a pure function
of its body.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from homeostat.cd.deploy.plans import JudgeConfig
from homeostat.core import events as ev
from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.events import Verdict
from homeostat.core.model.signature import Label
from homeostat.core.text.read_json import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.cd.monitor.performance import Champion, Outcomes
    from homeostat.core.ledger import Ledger, Recorded

Answer = tuple[int, Any]
"""Status, and what is the body as JSON."""

MOST_ROWS = 100_000
GO_ON: tuple[Verdict, ...] = ("promote", "continue")
_ENDED: dict[str, Verdict] = {"promoted": "promote", "rolled_back": "roll_back"}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the running or the last trial of a loop stands.

    Attributes:
        outcome: How it ended: `promoted`, `rolled_back`, `inconclusive` or `cancelled`; None while it runs.
        verdict: The judge's, until the trial has ended; then what follows from its outcome.
        judgement: The evidence, None until the monitor has looked.
    """

    loop: str
    champion: int
    challenger: int
    running: bool
    outcome: str | None
    verdict: Verdict
    reason: str
    started: datetime
    plan: dict[str, Any]
    arms: tuple[ev.Arm, ...]
    judgement: ev.Judgement | None


class DrawnQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Losses of rows that a draw gave to one of two versions; null where a label is missing."""

    challenger: list[bool]
    share: float
    loss: list[float | None]
    least: list[float] | None = None
    greatest: list[float] | None = None


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a log with what became of it.

    Attributes:
        scores: Version to one probability per class, or to the one value of a regression; null for no number.
        label: What it turned out to be, if that is known.
        label_time: When that became known; by default with the row.
        arm: The version that answered, and `propensity` the probability (0..1) with which it was chosen.
    """

    time: datetime
    scores: dict[int, list[float | None]]
    label: Label | None = None
    label_time: datetime | None = None
    arm: int | None = None
    propensity: float | None = None


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be asked: one of two arrays of losses, drawn losses, credits of interleaved lists, or rows of a log.

    Attributes:
        champion_loss, challenger_loss: Losses of both versions on the same rows, in [0, 1]; null for a missing label.
        least, greatest: Bounds of each difference, whatever its label.
        credits: Of interleaved lists: the chosen items of both versions in each (see `homeostat.cd.deploy.interleave`).
        rows: Rows of a log, judged by cohorts as in a Loop.
        task: Of rows: `classification` or `regression`.
        classes: Of rows of a classification: in the order of the scores.
        scale: Of rows of a regression: the absolute error that counts as a loss of 1.
        randomised: Of rows: judge each version by those that it answered itself.
        now: Of rows: later labels are not looked at; by default all are old enough.
        passes: Of the gate: verdicts that go on.
    """

    champion_loss: list[float | None] | None = None
    challenger_loss: list[float | None] | None = None
    least: list[float] | None = None
    greatest: list[float] | None = None
    drawn: DrawnQuestion | None = None
    credits: list[tuple[int, int]] | None = None
    rows: list[Row] | None = None
    task: str = "classification"
    classes: list[Label] | None = None
    scale: float | None = None
    randomised: bool = False
    now: datetime | None = None
    config: JudgeConfig = JudgeConfig()
    champion: int = 0
    challenger: int = 1
    passes: list[Verdict] | None = msgspec.field(default=None, name="pass")


def standing(ledger: Ledger, loop: str) -> Standing:
    """Where the running or the last trial stands, from the ledger.

    Raises:
        NotFoundError: the loop has had no trial yet.
    """
    begun = ledger.last(loop, ev.TrialStarted)
    if begun is None or not isinstance(begun.event, ev.TrialStarted):
        raise NotFoundError(f"loop {loop!r} has had no trial yet", hint="one begins when a candidate passes its gates")
    ended, seen = (_after(ledger.last(loop, kind), begun) for kind in (ev.TrialEnded, ev.Observed))
    over = ended if isinstance(ended, ev.TrialEnded) else None
    judgement = over.judgement if over is not None else seen.judgement if isinstance(seen, ev.Observed) else None
    arms = ledger.arms(loop)
    verdict: Verdict = "continue" if judgement is None else judgement.verdict
    reason = "the monitor has not looked yet" if judgement is None else judgement.reason
    if over is not None:
        verdict, reason = _ENDED.get(over.outcome, "inconclusive"), over.reason
    return Standing(
        loop=loop,
        champion=begun.event.champion,
        challenger=begun.event.challenger,
        running=over is None,
        outcome=None if over is None else over.outcome,
        verdict=verdict,
        reason=reason,
        started=begun.time,
        plan=begun.event.plan,
        arms=arms.event.arms if arms is not None and isinstance(arms.event, ev.ArmsSet) else (),
        judgement=judgement,
    )


def respond(ledger: Ledger, loop: str, body: bytes | None, *, gated: bool = False) -> Answer:
    """What a request to `/judge` or `/judge/gate` is answered with; `body` is None for a GET."""
    if body is None:
        return look(ledger, loop)
    return gate(ledger, loop, body) if gated else ask(body)


def look(ledger: Ledger, loop: str) -> Answer:
    """`GET /judge`: the standing of the running or the last trial."""
    return 200, standing(ledger, loop)


def ask(body: bytes) -> Answer:
    """`POST /judge`: the judgement of what the body holds; nothing of it is kept.

    Raises:
        DataError: the body is no question, or holds more than 100,000 rows.

    Example:
        >>> status, judgement = ask(b'{"champion_loss": [0.2, 0.3], "challenger_loss": [0.2, null]}')
        >>> (status, judgement.verdict, judgement.pairs)
        (200, 'continue', 2)
    """
    return 200, judgement_of(_decoded(body, Question))


def gate(ledger: Ledger, loop: str, body: bytes) -> Answer:
    """`POST /judge/gate`: 200 when the verdict is one that goes on, else 409.

    An empty body, and one without losses or rows, asks about the loop's trial. The verdicts that go on are `pass`, or
    `pass` in the `metadata` of Flagger's webhooks with commas between them; by default promote and continue.
    """
    content = _decoded(body, dict[str, Any]) if body.strip() else {}
    found: Standing | ev.Judgement
    if content.keys() & {"champion_loss", "drawn", "credits", "rows"}:
        question = _decoded(body, Question)
        found, passes = judgement_of(question), tuple(question.passes or GO_ON)
    else:
        found, passes = standing(ledger, loop), _passes(content)
    return (200 if found.verdict in passes else 409), found


def judgement_of(question: Question) -> ev.Judgement:
    """The judgement of a question."""
    from homeostat.cd.deploy.interleave import verdict
    from homeostat.cd.deploy.judge import judge_losses

    kinds = (question.champion_loss, question.drawn, question.credits, question.rows)
    given = sum(kind is not None for kind in kinds)
    if given != 1:
        what = f"the judge wants one of champion_loss with challenger_loss, drawn, credits, or rows, and got {given}"
        raise DataError(what, hint="see docs/arms.md for an example of each")
    if question.drawn is not None:
        return _of_drawn(question, question.drawn)
    if question.rows is not None:
        return _of_rows(question, question.rows)
    if question.credits is not None:
        _same_length({"credits": len(question.credits)})
        rule = None if question.config == JudgeConfig() else question.config
        return verdict(question.credits, rule, champion=question.champion, challenger=question.challenger)
    if question.challenger_loss is None:
        raise DataError("challenger_loss is missing", hint="send both versions' losses on the same rows")
    lengths = {name: len(values) for name in _PAIRED if (values := getattr(question, name)) is not None}
    _same_length(lengths)
    _within("least", question.least, -1.0)
    _within("greatest", question.greatest, -1.0)
    return judge_losses(
        _numbers(question.champion_loss or []),
        _numbers(question.challenger_loss),
        question.config,
        champion=question.champion,
        challenger=question.challenger,
        least=question.least,
        greatest=question.greatest,
    )


_PAIRED = ("champion_loss", "challenger_loss", "least", "greatest")


def _of_drawn(question: Question, drawn: DrawnQuestion) -> ev.Judgement:
    from homeostat.cd.deploy import randomised

    if not 0 < drawn.share < 1:
        raise DataError(f"the share {drawn.share!r} is not between 0 and 1", hint="it is the challenger's probability")
    n = len(drawn.loss)
    least, greatest = drawn.least or [0.0] * n, drawn.greatest or [1.0] * n
    _same_length({"challenger": len(drawn.challenger), "loss": n, "least": len(least), "greatest": len(greatest)})
    _within("loss", drawn.loss, 0.0)
    _within("least", least, 0.0)
    _within("greatest", greatest, 0.0)
    rows = randomised.Drawn(
        challenger=drawn.challenger, share=[drawn.share] * n, loss=_numbers(drawn.loss), least=least, greatest=greatest
    )
    return randomised.judge_drawn(
        rows,
        question.config,
        champion=question.champion,
        challenger=question.challenger,
        least_share=min(drawn.share, 1 - drawn.share),
    )


def _of_rows(question: Question, rows: list[Row]) -> ev.Judgement:
    from homeostat.cd.deploy.trial import JudgeSettings, judge_trial
    from homeostat.cd.monitor.performance import Champion

    _same_length({"rows": len(rows)})
    if question.task not in ("classification", "regression"):
        raise DataError(f"there is no task {question.task!r}", hint="classification or regression")
    if question.task == "classification" and len(question.classes or ()) < 2:
        raise DataError("rows of a classification need their classes", hint='as in "classes": [false, true]')
    classes = tuple(question.classes or ()) if question.task == "classification" else None
    champion = Champion(
        version=question.champion, task=question.task, metric="loss", classes=classes, scale=question.scale
    )
    for place, row in enumerate(rows):
        if row.propensity is not None and not 0 <= row.propensity <= 1:
            raise DataError(f"row {place} has a propensity of {row.propensity:g}", hint="it is a probability")
    try:
        outcomes = _outcomes(champion, question.challenger, rows)
    except OverflowError as error:
        raise DataError(f"a time or an arm of a row is out of range: {error}", hint="times are in UTC") from error
    now = question.now or datetime.max.replace(tzinfo=UTC)
    shares = [min(row.propensity, 1 - row.propensity) for row in rows if row.propensity and row.propensity < 1]
    if question.randomised and not shares:
        raise DataError("no row has an arm that was drawn", hint="give each row its arm and its propensity")
    settings = JudgeSettings(config=question.config, least_share=min(shares) if question.randomised else None)
    return judge_trial(champion, question.challenger, outcomes, now, settings)


def _outcomes(champion: Champion, challenger: int, rows: list[Row]) -> Outcomes:
    import numpy as np

    from homeostat.cd.labels.maturity import microsecond
    from homeostat.cd.monitor.performance import Outcomes
    from homeostat.core.table.rows import NEVER

    width = 1 if champion.classes is None else len(champion.classes)
    known = [NEVER if row.label is None else microsecond(row.label_time or row.time) for row in rows]
    labels = np.empty(len(rows), dtype=object)
    labels[:] = [row.label for row in rows]
    predictions, asked = {}, {}
    for version in (champion.version, challenger):
        scores = np.full((len(rows), width), np.nan)
        for place, row in enumerate(rows):
            if (own := row.scores.get(version)) is None:
                continue
            if len(own) != width:
                what = f"row {place} has {len(own)} scores of version {version}, and there are {width} to give"
                raise DataError(what, hint="one probability per class, or one value")
            scores[place] = _numbers(own)
        predictions[version] = scores if champion.classes is not None else scores[:, 0]
        asked[version] = np.array([version in row.scores for row in rows], dtype=bool)
    return Outcomes(
        times=np.array([microsecond(row.time) for row in rows], dtype=np.int64),
        label_times=np.array(known, dtype=np.int64),
        labels=labels,
        predictions=predictions,
        asked=asked,
        arms=np.array([-1 if row.arm is None else row.arm for row in rows], dtype=np.int64),
        propensities=np.array([row.propensity or 0.0 for row in rows]),
        leads=np.ones(len(rows), dtype=bool),
    )


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _within(name: str, values: Sequence[float | None] | None, least: float) -> None:
    """Refuse numbers that are no loss, or no difference of losses."""
    for place, value in enumerate(values or ()):
        if value is not None and not least <= value <= 1:
            what = f"{name} is {value:g} at row {place}, outside [{least:g}, 1]"
            raise DataError(what, hint="losses are numbers from 0 to 1")


def _same_length(lengths: dict[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {count:,}" for name, count in lengths.items())
        raise DataError(f"the arrays are not of one length: {told}", hint="one number for each row")
    most = max(lengths.values())
    if most > MOST_ROWS:
        what = f"there are {most:,} rows and the judge takes {MOST_ROWS:,} at once"
        raise DataError(what, hint="send the newest, or judge in your own process with homeostat.cd.deploy.judge")


def _passes(content: dict[str, Any]) -> tuple[str, ...]:
    """The verdicts that go on, of a body that asks about the trial."""
    metadata = content.get("metadata")
    wanted = content.get("pass", metadata.get("pass") if isinstance(metadata, dict) else None)
    if wanted is None:
        return GO_ON
    names = [one.strip() for one in wanted.split(",")] if isinstance(wanted, str) else wanted
    return passing(names)


def passing(names: Any) -> tuple[str, ...]:
    """Names of verdicts, as far as there are such.

    Raises:
        DataError: one is none.
    """
    there = get_args(Verdict)
    odd = [name for name in names if name not in there] if isinstance(names, list) else [names]
    if odd:
        raise DataError(f"there is no verdict {str(odd[0])[:40]!r}", hint=f"there are {', '.join(there)}")
    return tuple(names)


def _decoded(body: bytes, kind: Any) -> Any:
    content, strict = parse(body)
    if not strict:
        raise DataError("the body is no JSON: it holds NaN, infinity or half of a surrogate pair")
    try:
        return msgspec.convert(content, kind, str_keys=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DataError(f"the body is no question for the judge: {error}", hint="see docs/arms.md") from error


def _after(recorded: Recorded | None, begun: Recorded) -> ev.Event | None:
    return recorded.event if recorded is not None and recorded.seq > begun.seq else None
