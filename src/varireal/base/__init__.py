"""What decides bytes: files and shards, manifests, seeds and slugs. DVC watches this one folder for every stage."""
