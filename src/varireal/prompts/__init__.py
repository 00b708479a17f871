"""Attribute lists: which backgrounds, colours and textures are asked for, and in which words."""
