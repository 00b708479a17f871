"""Models and edited data sets in the formats of others; each export is a folder that appears whole."""
