"""Intriguing properties of neural networks, computed again.

The package holds what the chapters of the book call. Importing it is cheap: each module is imported by name,
for instance ``from intriguing import data, scale``.
"""

__version__ = "0.1.0"
