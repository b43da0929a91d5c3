"""Hypothesis profiles: quick for every run, thorough for thousands of configurations."""

import os

import torch
from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

# The quick run draws the same configurations every time, so that it fails for a change and not by
# the luck of a draw; the thorough run looks for new ones.
settings.register_profile("quick", max_examples=60, derandomize=True, **COMMON)
settings.register_profile("thorough", max_examples=2000, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

if not torch.cuda.is_available():
    # Triton's kernels run in its interpreter; it looks when they are imported, at their first use.
    os.environ.setdefault("TRITON_INTERPRET", "1")

torch.set_num_threads(1)  # the layers under test are tiny: a second thread only waits
