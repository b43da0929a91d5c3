"""Convert layers from and to ONNX, Keras and Flax. Every conversion is checked when it is made."""

from conversion.flax import from_flax, to_flax
from conversion.keras import from_keras, to_keras
from conversion.onnx import from_onnx, to_onnx
from conversion.spec import ConversionError

__all__ = [
    "ConversionError",
    "from_flax",
    "from_keras",
    "from_onnx",
    "to_flax",
    "to_keras",
    "to_onnx",
]
