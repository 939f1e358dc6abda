"""What is computed of rows and predictions: metrics, profiles, drift, leaks, latency, and how a stream does."""
