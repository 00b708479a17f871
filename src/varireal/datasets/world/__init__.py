"""The rendered aircraft world: the data set and the priors that need no download."""
