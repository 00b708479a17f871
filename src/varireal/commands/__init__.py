"""The commands around the pipeline: one thin click command a file, none of them a stage of dvc.yaml."""
