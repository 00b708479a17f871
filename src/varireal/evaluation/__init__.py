"""Accuracy on the test split: predictions of every adapter of the grid, figures, and their spread over seeds."""
