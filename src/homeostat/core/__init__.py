"""What every part of the house stands on: the ledger, artifacts, tables, models, metrics, profiles, time and errors."""
