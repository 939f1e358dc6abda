"""What the engine sees: the log joined with labels, the training table that grows from it, and the monitor's view."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.deploy import guardrails
from homeostat.cd.deploy.plans import least_share, randomised
from homeostat.cd.deploy.randomised import sample_ratio_of
from homeostat.cd.deploy.trial import JudgeSettings, judge_trial
from homeostat.cd.labels.join import Answered, Labelled, Traffic, write_counts
from homeostat.cd.labels.maturity import learned
from homeostat.cd.labels.training_rows import decoded, training_rows
from homeostat.cd.log import Position, retire
from homeostat.cd.log.archive import Archive
from homeostat.cd.monitor import Champion, MonitorConfig, ServiceCounts, observe
from homeostat.cd.monitor.performance import Window
from homeostat.ci.collect import record
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock, duration, stopwatch
from homeostat.core.model import Bundle, Manifest
from homeostat.core.table.rows import known_at
from homeostat.engine.table.admission import Admission

if TYPE_CHECKING:
    import polars as pl

    from homeostat.core.ledger import Ledger
    from homeostat.core.store import Store
    from homeostat.ct.when import Policy
    from homeostat.engine.decide.state import State
    from homeostat.loop import Loop

WINDOWS = 4
"""How many monitor windows of rows whose wait is over are handed over, beside all newer ones."""
_ARCHIVE_RECORDS = 20_000
_ARCHIVE_SECONDS = 3_600.0


class Watch:
    """The eyes of a loop."""

    def __init__(self, store: Store, loop: Loop) -> None:
        self._store, self._loop = store, loop
        self.table = store.table(loop.name, "rows", loop.source.spec)
        self.traffic = Traffic(store.log_folder(loop.name))
        self.since: datetime | None = None
        self._archive = Archive(store, loop.name)
        self._admission = Admission(store, loop.name, self.table)
        self._archived, self._unarchived = stopwatch(), 0
        self._block: list[Answered] = []
        self._compared: datetime | None = None
        self._labelled: list[Labelled] = []
        self._manifests: dict[int, Manifest] = {}
        self._configs: dict[int, MonitorConfig] = {}
        self._recorded_counts: Counter[str] | None = None

    def config(self, champion: int) -> MonitorConfig:
        """The declared thresholds; undeclared, labels are waited for as long as those of its training rows took.

        They depend on the champion alone, so that a trial is judged the same after a restart.
        """
        if self._loop.monitor is not None:
            return self._loop.monitor
        if champion not in self._configs:
            end = self._manifest(champion).lineage.window_end
            known = self._store.ledger.version(self._loop.name, champion).registered
            end = None if end is None else end + timedelta(microseconds=1)
            spec = self._loop.source.spec
            rows = self.table.read(known_by=known, end=end, columns=[spec.time, *spec.labels])
            self._configs = {champion: monitor_config(self._loop, rows)}
        return self._configs[champion]

    def resume(self, ledger: Ledger) -> None:
        """Go on after the last recorded observation, with the rows that were too few to compare until then."""
        minimum = (self._loop.monitor or MonitorConfig()).drift.minimum_rows
        for recorded in ledger.events(loop=self._loop.name, kinds=(ev.Observed,)):
            if isinstance(recorded.event, ev.Observed):
                self.since = recorded.event.now
                compared = [signal.n for signal in recorded.event.signals if signal.kind == "value_drift"]
                if not compared or max(compared) >= minimum:
                    self._compared = self.since

    def take(self) -> int:
        """Read the log on; gives the number of records."""
        records, more = 0, True
        while more:
            arrived = self.traffic.take()
            known = self._compared
            self._block.extend(one for one in arrived.answered if known is None or one.time >= known)
            self._labelled.extend(arrived.labelled)
            records, more = records + arrived.records, arrived.more
        if records:
            write_counts(self._store.log_folder(self._loop.name), self.traffic.counts)
        self._unarchived += records
        if self._recorded_counts is None:
            # What was forgotten before the last observation was told then.
            self._recorded_counts = Counter(forgotten=0 if self.since is None else self.traffic.counts.forgotten_rows)
        return records

    def archive(self, now: datetime, *, at_once: bool = False) -> None:
        """Copy what is new in the log into tables, and delete what nobody needs of it; mostly that is nothing."""
        due = self._unarchived >= _ARCHIVE_RECORDS or stopwatch() - self._archived > _ARCHIVE_SECONDS
        if not (due or at_once):
            return
        champion = self._store.ledger.champion(self._loop.name)
        if champion is None:
            return
        self._archived, self._unarchived = stopwatch(), 0
        spec, columns = self._loop.source.spec, self.table.columns
        assert spec.target is not None
        inputs = {name: dtype for name, dtype in columns.items() if name not in spec.labels}
        kept = self._archive.fill(inputs, columns[spec.target]).segments
        if self.since is None:
            return
        free = self.traffic.released(seen=self.since, before=now - duration(self._loop.retention)).segments
        both = {name: min(offset, kept[name]) for name, offset in free.items() if name in kept}
        if both:
            # What joined lately is only in memory and in the log, until it was learned.
            self._learn(champion.version, now)
            retire(self._store.log_folder(self._loop.name), Position(segments=both))

    def observe(
        self, state: State, now: datetime, service: ServiceCounts | None, source_version: str | None = None
    ) -> ev.Observed:
        """Everything since the last observation, as the monitor sees it; labelled rows join the training table."""
        if state.champion is None:
            self.since = now
            return ev.Observed(
                loop=self._loop.name,
                now=now,
                rows=0,
                labelled=0,
                trainable=self.table.count_trainable(now),
                source_version=source_version,
            )
        champion, config = self._champion(state), self.config(state.champion)
        self._learn(state.champion, now)
        rows, places = decoded([one.features for one in self._block], self._manifest(state.champion).signature)
        numbers = [self._block[place].number for place in places]
        mature = now - config.window.maturity.wait - config.window.maturity.every
        observed = observe(
            self._loop.name,
            now,
            champion,
            rows=rows,
            predictions=self.traffic.scores(state.champion, numbers) if numbers else None,
            values=self.traffic.values(state.champion, numbers) if numbers else None,
            asked=self.traffic.asked(state.champion, numbers),
            fresh=sum(self.since is None or one.time >= self.since for one in self._block),
            outcomes=self.traffic.outcomes(last=WINDOWS * config.window.rows, before=mature),
            service=service,
            since=self.since,
            newest=self.traffic.newest,
            trainable=self.table.count_trainable(now),
            judgement=self._judgement(state, champion, now, service or ServiceCounts()),
            source_version=source_version,
            config=measuring(config, state.rules.when),
        )
        self.since = now
        if rows.height >= config.drift.minimum_rows:
            self._compared, self._block = now, []
        return msgspec.structs.replace(observed, signals=(*observed.signals, *self._losses(state)))

    def _learn(self, champion: int, now: datetime) -> None:
        """Append rows whose label came to the training table; the same row twice is one row."""
        if not self._labelled:
            return
        spec = self._loop.source.spec
        assert spec.target is not None
        signature = self._manifest(champion).signature
        rows, aside = training_rows(self._labelled, signature, spec, self.table.columns[spec.target])
        rows, more = self._admission.admitted(rows)
        if rows.height:
            clock = VirtualClock(now)
            record(rows, self.table, self._store.ledger, self._loop.name, clock, source="prediction log")
        self.traffic.counts.set_aside = dict(Counter(self.traffic.counts.set_aside) + aside + more)
        self._labelled = []

    def _losses(self, state: State) -> list[ev.Signal]:
        """What of the log was newly lost to learning or measuring; it alarms nobody and stops nothing."""
        counts, recorded = self.traffic.counts, self._recorded_counts or Counter[str]()
        aside = Counter(counts.set_aside) - recorded
        forgotten = counts.forgotten_rows - recorded["forgotten"]
        self._recorded_counts = Counter(counts.set_aside) + Counter(forgotten=counts.forgotten_rows)
        losses = []
        if aside:
            reasons = "; ".join(f"{count} with {reason}" for reason, count in sorted(aside.items()))
            losses.append(_loss("schema_skew", "labels", aside.total(), f"labelled rows were set aside: {reasons}"))
        if forgotten > 0:
            detail = "rows left memory before their label came, which will not be learned or measured"
            losses.append(_loss("new_data", "forgotten", forgotten, detail))
        until, trial = self.traffic.forgotten_until, state.trial
        if until is not None and trial is not None and trial.started is not None and until >= trial.started:
            detail = f"rows of the trial from before {until:%Y-%m-%d %H:%M} left memory and are not judged any more"
            losses.append(_loss("new_data", "trial", None, detail))
        return losses

    def _judgement(
        self, state: State, champion: Champion, now: datetime, service: ServiceCounts
    ) -> ev.Judgement | None:
        trial = state.trial
        if trial is None or trial.started is None:
            return None
        outcomes = self.traffic.outcomes(since=trial.started)
        scores = [outcomes.predictions.get(version) for version in (trial.champion, trial.challenger)]
        checks: tuple[ev.Signal, ...] = ()
        if scores[0] is not None and scores[1] is not None:
            asked = outcomes.asked[trial.champion] & outcomes.asked[trial.challenger]
            failed = self.traffic.failures(trial.challenger, since=trial.started)
            requests = int(outcomes.asked[trial.challenger].sum())
            counts = guardrails.ArmCounts(
                requests=requests, errors=failed, answers=service.answers.get(trial.challenger, {})
            )
            usual = guardrails.ArmCounts(answers=service.answers.get(trial.champion, {}))
            checks = guardrails.check(scores[0][asked], scores[1][asked], champion=usual, challenger=counts)
        plan, by_request = trial.plan, not self._loop.source.spec.key
        if randomised(plan):
            ratio = sample_ratio_of(trial.champion, trial.challenger, outcomes, by_request=by_request)
            checks = (*checks, ratio)
        settings = JudgeSettings(
            config=plan,
            maturity=self.config(champion.version).window.maturity,
            guardrails=checks,
            least_share=least_share(plan) if randomised(plan) else None,
            by_request=by_request,
        )
        return judge_trial(champion, trial.challenger, outcomes, now, settings)

    def _champion(self, state: State) -> Champion:
        assert state.champion is not None
        versions = {state.champion} | ({state.trial.challenger} if state.trial else set())
        manifest = self._manifest(state.champion)
        metric = self._loop.metric_for(manifest.signature)
        accepted = {version: self._manifest(version).test_metrics.get(metric) for version in versions}
        return Champion(
            version=state.champion,
            task=manifest.signature.task,
            metric=metric,
            loss=self._loop.loss,
            classes=manifest.signature.classes,
            profile=manifest.reference,
            since=manifest.lineage.window_end,
            references={version: value for version, value in accepted.items() if value is not None},
        )

    def _manifest(self, version: int) -> Manifest:
        if version not in self._manifests:
            row = self._store.ledger.version(self._loop.name, version)
            self._manifests[version] = Bundle.read(self._store.artifacts, row.manifest).manifest
        return self._manifests[version]


def monitor_config(loop: Loop, rows: pl.DataFrame) -> MonitorConfig:
    """The declared thresholds; undeclared, labels are waited for as long as those of past rows took."""
    spec = loop.source.spec
    if loop.monitor is not None or spec.label_time is None or spec.target is None or not rows.height:
        return loop.monitor or MonitorConfig()
    rows = rows.drop_nulls(spec.labels)
    asked = rows[spec.time].dt.timestamp("us").to_numpy()
    return MonitorConfig(window=Window(maturity=learned(asked, known_at(rows, spec))))


def measuring(config: MonitorConfig, policy: Policy) -> MonitorConfig:
    """The thresholds, with every statistic of drift that a policy looks at."""
    drift = msgspec.structs.replace(config.drift, also=(*config.drift.also, *policy.statistics))
    return msgspec.structs.replace(config, drift=drift)


def _loss(kind: ev.SignalKind, subject: str, count: int | None, detail: str) -> ev.Signal:
    value = None if count is None else float(count)
    return ev.Signal(kind=kind, subject=subject, value=value, n=count or 0, detail=detail)
