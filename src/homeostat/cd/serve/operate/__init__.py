"""Whether and how the server goes on: health, workers at one port, traces, status, and an end in good order."""
