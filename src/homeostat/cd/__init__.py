"""CD: serve, infer, deploy, monitor."""
