"""D5: below an absolute target, or not better than the champion or a baseline beyond noise, is refused."""

from __future__ import annotations

from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from homeostat.ci import gates
from homeostat.ci.evaluate import evaluate
from tests.core.model_rows import rows, trained

TRAIN, TEST = rows(2_400), rows(1_200, seed=4, start=2_400)
WEAK = trained(TRAIN, model=HistGradientBoostingClassifier(max_iter=2, max_depth=1, learning_rate=0.02)).model()
STRONG = trained(TRAIN, model=HistGradientBoostingClassifier(max_iter=40)).model()


def refused(candidate, champion, *wanted) -> dict[str, str]:
    report = evaluate(candidate, TRAIN, TEST, champion=champion, champion_version=1)
    return {verdict.gate: verdict.reason for verdict in gates.judge(report, wanted) if not verdict.passed}


def test_a_clearly_better_model_passes():
    assert refused(STRONG, WEAK, gates.beats_champion(), gates.at_least(roc_auc=0.7), gates.beats_baseline()) == {}


def test_below_the_target_is_refused():
    assert "has to be 0.99" in refused(STRONG, WEAK, gates.at_least(roc_auc=0.99))["at_least"]


def test_a_worse_model_is_refused():
    assert "beats_champion" in refused(WEAK, STRONG, gates.beats_champion())


def test_a_gain_within_noise_is_refused():
    other = trained(TRAIN, model=HistGradientBoostingClassifier(max_iter=41)).model()
    reasons = refused(other, STRONG, gates.beats_champion())
    assert "not above 0" in reasons["beats_champion"]


def test_a_gain_below_the_margin_is_refused():
    assert "not above 0.4" in refused(STRONG, WEAK, gates.beats_champion(margin=0.4))["beats_champion"]


def test_not_better_than_a_baseline_is_refused():
    logistic = trained(TRAIN, model=LogisticRegression()).model()
    assert "simple" in refused(logistic, None, gates.beats_baseline())["beats_baseline"]
    constant = trained(TRAIN, model=DummyClassifier()).model()
    assert "majority" in refused(constant, None, gates.beats_baseline())["beats_baseline"]
