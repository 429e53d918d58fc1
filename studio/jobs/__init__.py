"""Processes of their own for everything heavy: spawn, watch, stop, resume; devices and plans. No torch in here."""
