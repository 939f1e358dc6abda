"""The player: feeds history to the same `decide` that runs live, on a virtual clock, once for every policy."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from homeostat.cd.deploy import Immediately
from homeostat.cd.monitor import Champion, Outcomes, observe
from homeostat.core import events as ev
from homeostat.core.clock import duration
from homeostat.core.errors import DataError, LoopError
from homeostat.core.ledger import Ledger
from homeostat.core.model.signature import Predictions, joined
from homeostat.core.stats.losses import loss_for
from homeostat.core.stats.metrics import score
from homeostat.core.stats.prequential import StreamReport, stream_report
from homeostat.ct.how import Refit
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.live.watch import WINDOWS, measuring, monitor_config
from homeostat.engine.replay.choose import compare, held_back_from
from homeostat.engine.replay.history import History
from homeostat.engine.replay.policies import standard_policies
from homeostat.engine.replay.result import Block, Firing, PolicyResult, Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from homeostat.ci.backtest import Backtest
    from homeostat.ct.when import Policy
    from homeostat.loop import Loop

_FEWEST_BLOCKS = 5
_REPLAYED = (ev.GateResult(gate="replayed", passed=True, reason="policies are compared without gates", numbers={}),)


def replay(
    loop: Loop,
    rows: pl.DataFrame,
    policies: Mapping[str, Policy] | None = None,
    *,
    block: str = "7d",
    warmup: str | float = 0.2,
    progress: Callable[[int, int, str], None] | None = None,
) -> Replay:
    """Play policies over history, with labels no earlier than they were known.

    A model is trained at the moment a policy asks for it, takes over at once, and is shared by all policies that ask at
    the same moment, so that policies differ in nothing but when they asked.

    Args:
        loop: The declaration: features, model, metric, `how`, monitor.
        rows: History in stored types.
        policies: What to compare, by name; None compares the standard ones and the Loop's own.
        block: How often the monitor looks and the policies decide.
        warmup: What trains the first model: a share (0..1) of the time line, or a length of time such as `"60d"`.
        progress: Called with (policies done, policies, name) before each policy and at the end.

    Raises:
        DataError: there is too little labelled history.
        LoopError: the Loop's learner goes on from its parent, or its model step is replaced: a replay would play
            something else.
    """
    _refuse_unlike(loop)
    history = History(loop, rows)
    cuts = _cuts(history, warmup, block)
    first = history.trained(cuts[0])
    metric = loop.metric_for(first.model.signature)
    if policies is None:
        played = history.rows.height - history.between(cuts[0], cuts[0])[0]
        policies = standard_policies(metric, cuts[-1] - cuts[0], played, declared=loop.when)
    tell = progress or (lambda _done, _all, _name: None)
    results = []
    for number, (name, policy) in enumerate(policies.items()):
        tell(number, len(policies), name)
        results.append(_HistoryPlayer(history, cuts, metric, name, policy).play())
    tell(len(policies), len(policies), "")
    ranked = tuple(sorted(results, key=lambda result: (result.loss, result.retrains)))
    return Replay(
        loop=loop.name,
        metric=metric,
        start=cuts[0],
        end=cuts[-1],
        block=block,
        rows=ranked[0].report.rows,
        results=ranked,
        comparison=compare(results),
    )


def compare_windows(
    loop: Loop, rows: pl.DataFrame, windows: Sequence[str], *, every: str = "28d", warmup: str | float = 0.2
) -> Backtest:
    """Which rows to learn from: the Loop's model refitted every so often on windows such as `30d`, or on `all` rows."""
    from homeostat.ci.backtest import backtest

    _refuse_unlike(loop)
    history = History(loop, rows)
    return backtest(
        *(history.rows, history.spec, {name: Refit(window=None if name == "all" else name) for name in windows}),
        start=_cuts(history, warmup, every)[0],
        every=every,
        model=loop.model,
        features=loop.features,
        metric=loop.metric,
    )


def _refuse_unlike(loop: Loop) -> None:
    """Refuse a declaration of which a replay would play something else."""
    unlike = [f"how.{type(loop.how).__name__}()"] if loop.how.continues else []
    unlike += [f"steps={{{name}}}" for name in loop.steps if name == "model"]
    if unlike:
        what = f"a replay refits the Loop's model from scratch; it cannot play {' and '.join(unlike)}"
        raise LoopError(what, hint="replay a declaration with how.Refit() and the standard model step")


def _cuts(history: History, warmup: str | float, block: str) -> list[datetime]:
    """Block boundaries: the first is where the first model is trained."""
    column = history.rows[history.spec.time]
    start, end = column.min(), column.max()
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    if not isinstance(warmup, str) and not 0 < warmup < 1:
        raise LoopError(f"a warm-up of {warmup:g} is no share of the history", hint="write 0.2, or a time as in '60d'")
    lead = duration(warmup) if isinstance(warmup, str) else (end - start) * warmup
    step = duration(block)
    count = max(0, int((end - start - lead) / step) + 1)
    if count < _FEWEST_BLOCKS:
        what = (
            f"{count} blocks of {block} fit between {start + lead:%Y-%m-%d} and {end:%Y-%m-%d}, too few to compare on"
        )
        raise DataError(what, hint="choose a shorter block or warm-up, or collect more history")
    return [start + lead + step * place for place in range(count + 1)]


class _HistoryPlayer:
    """One policy on its way through history."""

    def __init__(self, history: History, cuts: list[datetime], metric: str, name: str, policy: Policy) -> None:
        self.history, self.cuts, self.metric, self.name, self.policy = history, cuts, metric, name, policy
        self.config = measuring(monitor_config(history.loop, history.rows), policy)
        rules = Rules(loop=history.loop.name, when=policy, deploy=Immediately())
        self.feed = Feed(Ledger.open(":memory:"), rules)
        self.trained_at: dict[int, datetime] = {}
        self.seconds = 0.0
        self.begin = history.between(cuts[0], cuts[0])[0]
        self.answered: list[Predictions] = []
        self.answered_by = np.zeros(history.rows.height, dtype=np.int64)
        self.fires: list[Firing] = []

    def play(self) -> PolicyResult:
        """Through all blocks: answer, then look, then decide."""
        start = ev.LoopStarted(loop=self.feed.state.rules.loop, who="replay", declaration=self.history.loop.digest)
        self.feed.give(start, time=self.cuts[0])
        self._train(self.cuts[0])
        spans = list(zip(self.cuts, self.cuts[1:], strict=False))
        blocks = [block for span in spans if (block := self._block(*span)) is not None]
        since_begin = self._answers_since(self.begin)
        cut = self.history.between(held_back_from(blocks), self.cuts[-1])[0]
        rows = sum(block.rows for block in blocks)
        return PolicyResult(
            name=self.name,
            label=self.policy.label,
            report=self._report(since_begin, self.begin),
            held_back=self._report(since_begin, cut),
            retrains=len(self.trained_at) - 1,
            train_seconds=self.seconds,
            loss=sum(block.loss * block.rows for block in blocks) / rows,
            blocks=tuple(blocks),
            fires=tuple(self.fires),
        )

    def _block(self, start: datetime, end: datetime) -> Block | None:
        """Answer the rows of a block, then let the monitor look at it and the policy decide."""
        history, version = self.history, self.feed.state.champion
        assert version is not None
        first, last = history.between(start, end)
        answers = history.answers(self.trained_at[version], first, last) if last > first else None
        if answers is not None:
            self.answered.append(answers)
            self.answered_by[first:last] = version
        self._observe(start, end, first, last)
        if answers is None:
            return None
        signature = history.trained(self.trained_at[version]).model.signature
        labels, classes = history.labels[first:last], signature.classes
        loss = loss_for(signature.task, history.loop.loss).of(labels, answers, classes=classes, scale=self._scale())
        return Block(
            start=start,
            end=end,
            rows=last - first,
            loss=float(loss.mean()),
            value=score(self.metric, labels, answers, classes),
            version=version,
        )

    def _observe(self, start: datetime, end: datetime, first: int, last: int) -> None:
        history, version = self.history, self.feed.state.champion
        assert version is not None
        model = history.trained(self.trained_at[version])
        manifest = model.model.manifest
        whole = joined(self.answered) if self.answered else Predictions(np.zeros(0))
        scores = whole.value if whole.score is None else whole.score
        maturity = self.config.window.maturity
        mature = history.between(end - maturity.wait - maturity.every, end)[0]
        tail = max(self.begin, mature - WINDOWS * self.config.window.rows)
        by = self.answered_by[tail:last]
        seen = scores[tail - self.begin : last - self.begin]
        predictions = {int(one): np.where(_column(by == one, seen), seen, np.nan) for one in np.unique(by)}
        asked = {int(one): by == one for one in np.unique(by)}
        labels = whole.value[tail - self.begin : last - self.begin]
        spec = history.spec
        observed = observe(
            history.loop.name,
            end,
            Champion(
                version=version,
                task=model.model.signature.task,
                metric=self.metric,
                classes=model.model.signature.classes,
                profile=manifest.reference,
                since=manifest.lineage.window_end,
                references={} if model.reference is None else {version: model.reference},
                scale=self._scale(),
            ),
            rows=history.rows[first:last].drop(*spec.labels) if last > first else None,
            predictions=scores[first - self.begin : last - self.begin] if last > first else None,
            values=None if whole.score is None else whole.value[first - self.begin : last - self.begin],
            outcomes=Outcomes(
                times=history.times[tail:last],
                label_times=history.known[tail:last],
                labels=history.labels[tail:last],
                predictions=predictions,
                values={} if whole.score is None else dict.fromkeys(predictions, labels),
                asked=asked,
            ),
            since=start,
            newest=end,
            trainable=history.trainable(end),
            config=self.config,
        )
        _, decisions = self.feed.give(observed, time=end)
        for decision in decisions:
            for command in decision.decided.commands:
                if isinstance(command, ev.Train):
                    self.fires.append(Firing(time=end, policy=command.trigger.kind, reason=command.trigger.reason))
                    self._train(end)

    def _train(self, now: datetime) -> None:
        """Carry out the training command that is outstanding; data that cannot be learned from end it, as live."""
        trigger = self.feed.state.inflight
        assert trigger is not None
        try:
            trained = self.history.trained(now)
        except DataError as error:
            if not self.trained_at:
                raise
            loop = self.feed.state.rules.loop
            ended = ev.TrainingEnded(loop=loop, trigger=trigger.key, run=None, status="stopped", error=str(error))
            self.feed.give(ended, time=now)
            return
        self.seconds += trained.seconds
        lineage = trained.model.manifest.lineage
        self.trained_at[len(self.trained_at) + 1] = now
        registered = ev.VersionRegistered(
            loop=self.feed.state.rules.loop,
            version=0,
            run="replay",
            trigger=trigger,
            manifest="",
            parent=self.feed.state.champion,
            train_metrics={},
            test_metrics={self.metric: trained.reference},
            gates=_REPLAYED,
            how=self.history.loop.how.label,
            trained_rows=trained.rows,
            trainable=trained.trainable,
            window_start=lineage.window_start,
            window_end=lineage.window_end,
        )
        self.feed.register(registered, time=now)

    def _answers_since(self, begin: int) -> Predictions:
        """All answers, padded with nothing for the rows before."""
        whole = joined(self.answered)
        value = np.concatenate([np.repeat(whole.value[:1], begin), whole.value])
        if whole.score is None:
            return Predictions(value)
        return Predictions(value, np.concatenate([np.zeros((begin, whole.score.shape[1])), whole.score]))

    def _report(self, predictions: Predictions, since: int) -> StreamReport:
        signature = self.history.trained(self.cuts[0]).model.signature
        return stream_report(
            self.history.labels,
            predictions,
            times=self.history.times,
            label_times=self.history.known,
            classes=signature.classes,
            metric=self.metric,
            since=since,
        )

    def _scale(self) -> float:
        """Of a regression, the absolute error that counts as a loss of 1: four standard deviations of the target."""
        labels = self.history.labels[: self.begin]
        return float(4 * np.std(labels.astype(float))) if labels.dtype.kind in "if" else 1.0


def _column(mask: NDArray[np.bool_], like: NDArray[np.float64]) -> NDArray[np.bool_]:
    return mask if like.ndim == 1 else mask[:, None]
