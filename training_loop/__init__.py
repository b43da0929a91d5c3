"""What train.py narrates: arguments, model, epochs, progress, pictures, run folder.

Nothing is imported here: the arguments are read and judged before torch, which takes seconds.
"""
