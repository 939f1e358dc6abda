"""Changes of a loop's table that a person means: a changed schema, rows taken out, and labelled rows let in."""
