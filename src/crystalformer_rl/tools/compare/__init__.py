"""Runs side by side: their settings, their fractions, and the differences between them."""
