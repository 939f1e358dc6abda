"""The command line: one file per verb, called after it, and nothing heavy is imported before a verb needs it."""

from __future__ import annotations

from homeostat.cli.app import main, options_of, verbs

__all__ = ["main", "options_of", "verbs"]
