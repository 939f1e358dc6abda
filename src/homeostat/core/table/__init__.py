"""Rows: from files and frames, through one set of types, into a versioned table of event times."""
