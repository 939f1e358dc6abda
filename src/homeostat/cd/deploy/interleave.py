"""Comparing two rankers inside one list: team-draft interleaving, credit for what was chosen, and the judge's verdict.

Each user sees one list, drafted from both rankings as two captains pick teams; whose items are chosen more has the
better ranking (Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008). Both
rankers meet the same user at the same moment, so it takes far fewer users than an A/B test of two lists.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from homeostat.cd.deploy.judge import judge_losses
from homeostat.cd.deploy.plans import JudgeConfig, draw
from homeostat.core.errors import DataError

if TYPE_CHECKING:
    from homeostat.core.events import Judgement

Team = Literal["champion", "challenger"]
Credit = tuple[int, int]
"""Chosen items of the champion and of the challenger in one list."""


class Draft(msgspec.Struct, frozen=True):
    """One list as it is shown.

    Attributes:
        items: From the top.
        teams: Who picked each item; None for one that fills up the list when a ranking has nothing more to pick.
    """

    items: tuple[Hashable, ...]
    teams: tuple[Team | None, ...]


def team_draft(
    champion: Sequence[Hashable], challenger: Sequence[Hashable], unit: str, *, salt: str, length: int = 10
) -> Draft:
    """Draft one list from two rankings: in each round both pick their best item left, and a coin says who picks first.

    The coins come from the unit and the salt, so the same user sees the same list as long as the rankings stay.

    Args:
        champion: Items from the best, each once.
        challenger: The same of the other version.
        unit: Who must see a consistent list: a user or a query.
        salt: Chosen anew for every trial.
        length: Items of the list, at most.

    Raises:
        DataError: an item stands in a ranking twice.

    Example:
        >>> draft = team_draft(["a", "b", "c"], ["b", "d", "a"], "user 7", salt="trial 1", length=2)
        >>> (draft.items, draft.teams)
        (('b', 'a'), ('challenger', 'champion'))
    """
    rankings: dict[Team, Sequence[Hashable]] = {"champion": champion, "challenger": challenger}
    for team, ranking in rankings.items():
        if len(set(ranking)) < len(ranking):
            raise DataError(f"the {team}'s ranking names an item twice", hint="a ranking holds each item once")
    items: dict[Hashable, Team | None] = {}
    order: tuple[Team, ...] = ()
    while len(items) < length:
        if not order:
            first = draw(salt, f"{unit}/{len(items)}") < 0.5
            order = ("champion", "challenger") if first else ("challenger", "champion")
        pick = next((item for item in rankings[order[0]] if item not in items), None)
        if pick is None:
            break
        items[pick] = order[0]
        order = order[1:]
    left = (item for ranking in rankings.values() for item in ranking)
    while len(items) < length and (filler := next((item for item in left if item not in items), None)) is not None:
        items[filler] = None
    return Draft(tuple(items), tuple(items.values()))


def credit(draft: Draft, chosen: Iterable[Hashable]) -> Credit:
    """How many of the chosen items each version had picked; what is not in the list counts for nobody.

    Example:
        >>> credit(Draft(("a", "b"), ("champion", "challenger")), ["b", "x"])
        (0, 1)
    """
    teams = dict(zip(draft.items, draft.teams, strict=True))
    picked = [teams.get(item) for item in set(chosen)]
    return picked.count("champion"), picked.count("challenger")


def verdict(
    credits_: Iterable[Credit], config: JudgeConfig | None = None, *, champion: int = 0, challenger: int = 1
) -> Judgement:
    """The judge's view of all lists so far, in their order: who won more of them; ask after every one.

    Args:
        credits_: One per list; several lists of one unit should be added up first, because they move together.
        config: Error rates; by default promotion asks for proof that the challenger wins more lists than it loses.
        champion: Version number.
        challenger: Version number.

    Returns:
        A judgement whose difference is the share of lists won by the champion minus that won by the challenger.

    Example:
        >>> verdict([(0, 1)] * 300).verdict
        'promote'
    """
    won = [(old > new, new > old) for old, new in credits_]
    rule = config or JudgeConfig(margin=0.0)
    champion_loss, challenger_loss = [float(new) for _, new in won], [float(old) for old, _ in won]
    return judge_losses(champion_loss, challenger_loss, rule, champion=champion, challenger=challenger)
