"""What the server counts and says: its metrics, their exposition, its lines on standard error, and systemd."""
