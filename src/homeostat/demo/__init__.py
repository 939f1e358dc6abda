"""The demo: a year of real flights played as live traffic to a loop that keeps its own model in shape."""
