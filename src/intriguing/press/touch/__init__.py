"""Figures that a reader touches on the published pages: what they show, and how they are written as HTML."""
