"""Text that comes in and goes out: JSON of strangers, records of our own, and what people are shown."""
