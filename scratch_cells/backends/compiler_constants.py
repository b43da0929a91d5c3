"""What ``torch.compile`` evaluates once, instead of recording it.

Imported only while it records: ``assume_constant_result`` imports the compiler, which takes about
as long as the import of torch.
"""

import torch

from scratch_cells.backends.eligibility import cell_problem, forward_ad_problem
from scratch_cells.backends.onnx_export import is_exported_to_onnx, translate_in_onnx_export

constant_cell_problem = torch.compiler.assume_constant_result(cell_problem)
constant_forward_ad_problem = torch.compiler.assume_constant_result(forward_ad_problem)
constant_is_exported_to_onnx = torch.compiler.assume_constant_result(is_exported_to_onnx)
constant_translate_in_onnx_export = torch.compiler.assume_constant_result(translate_in_onnx_export)
