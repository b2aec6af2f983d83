"""Properties that are predicted from the features of one potential."""

FEATURES_OF = "chgnet"
"""The potential whose crystal features the models read; they were trained on no other."""
