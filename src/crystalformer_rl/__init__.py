"""CrystalFormer-RL: a space-group-aware crystal generator, fine-tuned by reinforcement."""
