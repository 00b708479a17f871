"""The synthetic training set of a condition: which edits, and how many of each kind. Imports no network library."""
