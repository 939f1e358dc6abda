"""The gates that look at a rehearsal are pure: they pass and refuse by the numbers, and say which."""

from __future__ import annotations

import pytest

from homeostat import deploy, gates
from homeostat.ci.gates.rehearsed import compatible, contract
from homeostat.core.errors import LoopError
from homeostat.core.model.needs import Needs, Target
from homeostat.core.stats.latency import Latency


def measured(milliseconds: float, *, errors: int = 0, p99: float | None = None) -> Latency:
    times = [milliseconds / 1_000] * 97 + [(p99 or milliseconds) / 1_000] * 3
    return Latency.of(times, seconds=1.0, connections=4, errors=errors, error="500 oops" if errors else None)


@pytest.mark.parametrize(
    ("candidate", "champion", "said"),
    [
        (measured(60), measured(1), "60.0 times as long; 3 times would do"),
        (measured(10, errors=2), None, "2 of 102 requests failed: 500 oops"),
        (Latency.best([]), None, "0 of 0 requests failed"),
        (measured(2, p99=80), None, "p99 is 80.0 ms and may be 50.0 ms"),
    ],
)
def test_a_load_is_refused(candidate, champion, said) -> None:
    verdict = gates.load(p99="50ms" if champion is None else None).verdict(candidate, champion)
    assert not verdict.passed
    assert said in verdict.reason


@pytest.mark.parametrize(
    ("candidate", "champion"),
    [
        (measured(2), measured(1)),
        (measured(4.9), measured(0.2)),  # many times as long, and still no time at all
        (measured(140), measured(50)),
        (measured(900), None),
        (measured(2, p99=500), measured(1)),
    ],
)
def test_a_load_passes_and_says_what_was_seen(candidate, champion) -> None:
    verdict = gates.load().verdict(candidate, champion)
    assert verdict.passed, verdict.reason
    assert "100 answers a second" in verdict.reason
    assert verdict.numbers["p99_ms"] == pytest.approx(1_000 * (candidate.p99 or 0))


def test_the_best_round_counts_and_no_error_is_forgotten() -> None:
    best = Latency.best([measured(5), measured(2, errors=1), measured(90)])
    assert (best.p50, best.requests, best.errors) == (0.002, 300, 1)
    assert Latency.recorded(best.numbers()).p50 == 0.002  # type: ignore[union-attr]
    assert Latency.recorded({}) is None


@pytest.mark.parametrize(
    "wrong", [{"p99": "fast"}, {"p99": "0ms"}, {"slower": 1.0}, {"seconds": 0}, {"seconds": 61}, {"connections": 0}]
)
def test_a_load_that_makes_no_sense_is_refused_when_it_is_declared(wrong) -> None:
    with pytest.raises(LoopError, match=next(iter(wrong))):
        gates.load(**wrong)


NEEDS = Needs(packages={"numpy": "2.4.1", "torch": "2.9.0"}, python="3.11.7", memory=300_000_000, accelerator="cuda")
HAVE = {"numpy": "2.4.6", "torch": "2.9.1"}


def place(**changes: object) -> Target:
    have: dict[str, object] = {"packages": HAVE, "python": "3.12", "memory": "1GB", "accelerator": "cuda"}
    return deploy.Target(**have | changes)  # type: ignore[arg-type]


def test_a_place_that_has_everything_fits() -> None:
    verdict = compatible(NEEDS, place())
    assert verdict.passed, verdict.reason
    assert verdict.numbers["memory"] == [300_000_000, 1_000_000_000]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"packages": {}}, "numpy 2.4.1 is needed and absent; package torch 2.9.0 is needed and absent"),
        ({"packages": HAVE | {"torch": "2.8.3"}}, "torch 2.9.0 is needed and 2.8.3 is there, which is older"),
        ({"packages": HAVE | {"numpy": "3.0"}}, "numpy 2.4.1 is needed and 3.0 is there, which is another major"),
        ({"python": "3.10"}, "Python 3.11.7 is needed and 3.10 is there, which is older"),
        ({"memory": "286MiB"}, "300.0 MB of memory are needed and 299.9 MB are there"),
        ({"accelerator": "none"}, "the accelerator cuda is needed and none is there"),
    ],
)
def test_what_is_absent_is_named(changes, said) -> None:
    verdict = compatible(NEEDS, place(**changes))
    assert not verdict.passed
    assert said in verdict.reason


@pytest.mark.parametrize("memory", ["much", "150", "-1MB", "150mb"])
def test_a_target_of_no_amount_is_refused(memory) -> None:
    with pytest.raises(LoopError, match="no amount of memory"):
        deploy.Target(memory=memory)


def test_a_contract_names_the_protocol_that_answers_otherwise() -> None:
    golden = ((0.25, 0.75),)
    assert contract(golden, {"records": [(0.25, 0.75)], "v2": [(0.25, 0.75)]}).passed
    assert "v2: its answers differ" in contract(golden, {"records": [(0.25, 0.75)], "v2": [(0.75, 0.25)]}).reason
    assert "v2: its answers differ" in contract(golden, {"v2": [(0.75,)]}).reason
    assert "v2: 500 oops" in contract(golden, {"v2": "500 oops"}).reason
    assert not contract((), {}).passed
    assert contract(golden, {"v2": [(float("nan"), 0.75)]}).numbers["v2"] is None


@pytest.mark.parametrize(
    ("golden", "found", "passed"),
    [
        (1_000.0, 1_000.001, True),
        (1_000.0, 1_000.1, False),
        (0.5, 0.500001, True),
        (0.5, 0.5001, False),
        (0.5, float("nan"), False),
        (float("inf"), float("inf"), False),
    ],
)
def test_answers_agree_as_far_as_their_size_lets_them(golden: float, found: float, passed: bool) -> None:
    assert contract([(golden,)], {"v2": [(found,)]}).passed is passed


def test_a_contract_has_a_row_for_each_golden_one_and_golden_rows_at_all() -> None:
    assert not contract([(0.5,), (0.6,)], {"v2": [(0.5,)]}).passed
    assert not contract([], {"v2": []}).passed


def test_nobody_can_overrule_a_contract_and_what_callers_would_notice_breaks_it() -> None:
    assert contract([(0.5,)], {"v2": [(0.5,)]}).binding
    verdict = contract([(0.5,)], {"v2": [(0.5,)]}, ["column 'x' is gone"])
    assert (verdict.passed, verdict.binding) == (False, True)
    assert "column 'x' is gone" in verdict.reason


def test_a_load_keeps_its_limit_when_it_is_at_it() -> None:
    at = measured(2, p99=50)
    assert at.p99 is not None
    limit = gates.load(p99=f"{at.p99!r}s")
    assert limit.verdict(at, None).passed
    assert not limit.verdict(measured(2, p99=51), None).passed


def test_parity_compares_every_way_of_asking_with_the_first() -> None:
    rows = [1.0, 200.0]
    same = gates.parity(rows, {"rest": list, "binary": list, "batch": lambda given: [(one,) for one in given]})
    assert same.passed, same.reason
    apart = gates.parity(rows, {"rest": list, "embedded": lambda given: [given[0], given[1] + 1]}, tolerance=1e-3)
    assert not apart.passed
    assert apart.reason == "embedded differs from rest by 0.005 and may by 0.001"
    assert not gates.parity(rows, {"rest": list, "batch": lambda given: given[:1]}).passed
    assert not gates.parity([], {"rest": list, "batch": list}).passed
    with pytest.raises(LoopError, match="at least two"):
        gates.parity(rows, {"rest": list})
