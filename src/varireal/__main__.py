"""``python -m varireal``: the same as the command ``varireal``."""

from varireal.cli import program

program()
