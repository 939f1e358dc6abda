"""A draft of two rankings: fair in every round, without an item twice, and credit for what each side picked."""

from __future__ import annotations

import pytest

from homeostat.cd.deploy.interleave import Draft, credit, team_draft, verdict
from homeostat.core.errors import DataError

RANKING = [f"item {place}" for place in range(6)]
UNITS = [f"user {number}" for number in range(2_000)]


def test_the_coin_of_each_round_is_its_own() -> None:
    drafts = [team_draft(RANKING, RANKING, unit, salt="a") for unit in UNITS]
    alike = [draft.teams[0] == draft.teams[2] for draft in drafts]
    assert abs(sum(alike) / len(alike) - 0.5) < 0.05
    assert all({draft.teams[0], draft.teams[1]} == {"champion", "challenger"} for draft in drafts)
    again = [team_draft(RANKING, RANKING, unit, salt="b").teams for unit in UNITS]
    same = sum(one.teams == other for one, other in zip(drafts, again, strict=True)) / len(UNITS)
    assert same == pytest.approx(1 / 8, abs=0.04)


def test_each_side_picks_its_best_item_that_is_left() -> None:
    assert len(UNITS) > 50
    for unit in UNITS[:50]:
        draft = team_draft(["a", "b", "c"], ["b", "d", "a"], unit, salt="a", length=4)
        assert len(draft.items) == 4
        rankings = {"champion": ["a", "b", "c"], "challenger": ["b", "d", "a"]}
        for place, (item, team) in enumerate(zip(draft.items, draft.teams, strict=True)):
            assert item == next(one for one in rankings[team] if one not in draft.items[:place])


def test_a_list_is_no_longer_than_it_may_be_and_holds_nothing_twice() -> None:
    draft = team_draft(RANKING, RANKING[::-1], "user", salt="a", length=4)
    assert len(draft.items) == len(set(draft.items)) == 4
    assert len(team_draft(RANKING, RANKING, "user", salt="a").items) == 6


@pytest.mark.parametrize("twice", ["champion", "challenger"])
def test_a_ranking_that_names_an_item_twice_is_refused(twice) -> None:
    rankings = {"champion": ["a", "b"], "challenger": ["b", "a"], twice: ["a", "b", "a"]}
    with pytest.raises(DataError, match=f"{twice}'s ranking"):
        team_draft(**rankings, unit="user", salt="a")


def test_credit_is_for_each_chosen_item_once() -> None:
    draft = Draft(("a", "b", "c", "d"), ("champion", "challenger", "challenger", None))
    assert credit(draft, ["a", "a", "b", "c", "d", "x"]) == (1, 2)


def test_a_list_counts_for_whoever_got_more_of_it_however_much_more() -> None:
    assert verdict([(3, 1), (0, 0), (1, 1)]).difference == pytest.approx(1 / 3)
    assert verdict([(0, 9)]).difference == -1.0
