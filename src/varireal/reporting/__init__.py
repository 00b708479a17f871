"""The study's results as a table, as sentences and as a page with pictures."""
