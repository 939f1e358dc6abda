"""What people and programs are shown of a loop, as values; nothing in here prints."""
