"""The model card of a version: everything that the ledger and the bundle know of it, for people."""

from homeostat.engine.views.card.build import Card, Section, card_of
from homeostat.engine.views.card.online import online_performance
from homeostat.engine.views.card.page import to_html
from homeostat.engine.views.card.text import to_markdown

__all__ = ["Card", "Section", "card_of", "online_performance", "to_html", "to_markdown"]
