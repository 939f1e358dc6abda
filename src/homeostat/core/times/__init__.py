"""Times as people write them: one reader of columns and of single values, and the forms that it knows."""
