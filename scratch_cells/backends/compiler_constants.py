"""What ``torch.compile`` evaluates once, instead of recording it.

Imported only while it records: ``assume_constant_result`` imports the compiler, which takes about
as long as the import of torch.
"""

import torch

from scratch_cells.backends.eligibility import cell_problem, forward_ad_problem

constant_cell_problem = torch.compiler.assume_constant_result(cell_problem)
constant_forward_ad_problem = torch.compiler.assume_constant_result(forward_ad_problem)
