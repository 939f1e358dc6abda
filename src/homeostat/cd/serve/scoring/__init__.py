"""From decoded rows to recorded answers: which version scores them, in which batch, and what comes out."""
