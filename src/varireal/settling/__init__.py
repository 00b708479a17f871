"""Seeds until the study's question is decided: looks planned beforehand, each an experiment of DVC."""
