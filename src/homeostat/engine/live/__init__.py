"""The live loop: a real clock, a lease, and the processes beside it, all of which may die at any instant."""
