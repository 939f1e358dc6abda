"""The server beside its peers and beside the floor, in one run on one machine: `python -m benchmarks.serving --help`."""
