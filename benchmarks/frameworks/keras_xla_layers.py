"""Keras's layers on TensorFlow, compiled by XLA."""

from benchmarks.frameworks.keras_layers import VERSION, KerasContender


class KerasXLAContender(KerasContender):
    """The same, compiled by ``tf.function(jit_compile=True)``."""

    jit_compile = True


CONTENDER = KerasXLAContender
__all__ = ["CONTENDER", "VERSION"]
