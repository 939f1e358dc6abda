"""Versions on their way between registries."""
