"""Experiments of DVC that a command runs and waits for, and the sweep of the share of infeasible images."""
