"""A few photos through every cell with the configured networks, before the bill: `varireal preview`."""
