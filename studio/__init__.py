"""SFT Studio: label, train, compare in one loop."""

__version__ = "0.1.0"
