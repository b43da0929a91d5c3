"""The exercises: one folder a part, in order."""
