"""The progress of a run, read from its files alone."""
