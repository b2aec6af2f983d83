"""Properties that are predicted from the crystal features of one potential."""

FEATURES_OF = "chgnet"
"""The potential whose crystal features the models were trained on; they accept no others."""
