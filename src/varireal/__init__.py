"""VariReal: does it matter whether synthetic training images could exist?"""

__version__ = "0.1.0"
