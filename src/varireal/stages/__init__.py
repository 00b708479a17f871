"""Thin click commands: read params.yaml, call the library, write the outputs of one DVC stage."""
