"""CT: when, how and where to retrain."""
