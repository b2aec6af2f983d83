"""The public interface for Python; ``import crystalformer_rl as cf`` gives its names."""
