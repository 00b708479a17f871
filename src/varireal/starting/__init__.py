"""The first step with photos of one's own: what is there, and the settings that fit it."""
