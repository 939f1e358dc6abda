"""Labels on their way: from a request or a file, into the log, joined with what was predicted, to training rows."""
