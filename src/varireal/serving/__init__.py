"""Use of a trained adapter: classes of any photo, and the merged model for others to load."""
