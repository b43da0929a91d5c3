"""Building blocks of train.py: configuration, model, training steps, checkpoints, reports."""
