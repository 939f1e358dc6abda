"""The command line: one file per group of verbs, and nothing heavy is imported before a verb needs it."""

from __future__ import annotations

from homeostat.cli.app import main, options, verbs

__all__ = ["main", "options", "verbs"]
