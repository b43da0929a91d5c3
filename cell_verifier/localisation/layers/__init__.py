"""Find the wrong line of a layer with several layers or directions, or with dropout.

The same intervention as for one cell: the module runs again with an operation's values replaced by
those of torch.nn's, of the right layer and direction (``fields``), at every cell that runs it.
"""
