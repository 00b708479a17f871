"""Training of the demo models from nothing: run once, committed under ``models/demo``, no part of the default DAG."""
