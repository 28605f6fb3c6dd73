"""The command line. Importing it must stay cheap: commands import what they need."""

from .app import main

__all__ = ["main"]
