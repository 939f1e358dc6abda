"""The server beside its peers and the floor, in one run on one machine: `python -m benchmarks.serving --help`."""
