"""The closed loop: one pure decision function, fed live or from history."""
