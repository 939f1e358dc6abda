"""The decisions: one pure function of the ledger's state and an event, and the feed that records what follows."""
