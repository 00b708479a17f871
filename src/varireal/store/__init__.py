"""Finished items kept by content key below ``.work``, so that a killed run goes on where it stopped."""
