"""What a candidate is asked in rehearsal: the golden rows by every protocol, and a short load."""
