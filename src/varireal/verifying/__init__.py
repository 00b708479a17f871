"""Whether a run reproduces the results of a commit: every figure within its tolerance, every verdict the same."""
