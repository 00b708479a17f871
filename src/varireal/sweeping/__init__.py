"""Sweeps of the share of infeasible images: which experiments there are to run, and DVC's queue that runs them."""
