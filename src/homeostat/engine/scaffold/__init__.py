"""What `homeostat init` finds out of a table, guesses, and writes as a declaration."""
