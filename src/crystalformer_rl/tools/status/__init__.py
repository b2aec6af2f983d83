"""How far a run is, read from its files alone."""
