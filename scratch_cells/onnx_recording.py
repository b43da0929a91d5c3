"""Whether ``torch.onnx.export`` records, as a constant for ``torch.export``.

Imported only while a program is recorded: ``assume_constant_result`` imports the compiler, which
takes about as long as the import of torch.
"""

import torch


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # part of torch
def is_exported_to_onnx() -> bool:
    """Whether ``torch.onnx.export`` records a program by ``torch.export``."""
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()
