"""What a run would need and mean, told before anything expensive."""
