"""Other tools that keep a table true to changes, each set up as its own documentation advises for the best speed."""
