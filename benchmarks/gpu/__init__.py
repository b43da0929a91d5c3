"""Everything that needs a GPU, in stages: parity, speed, training, and the resources of kernels."""
