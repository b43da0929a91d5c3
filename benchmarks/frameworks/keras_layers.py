"""Keras's layers on TensorFlow, as a graph."""

from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from benchmarks.frameworks.job import NAMES, Array, Contender, Job


class KerasContender(Contender):
    """A stack of ``keras.layers.LSTM`` or ``GRU``. Weights: for each layer, its ``get_weights()``.

    The input is (batch, time, features), the only order that Keras has.
    """

    jit_compile: ClassVar[bool] = False

    def __init__(self, job: Job) -> None:
        threading = tf.config.threading
        if threading.get_intra_op_parallelism_threads() != job.threads:  # only before the first job
            threading.set_intra_op_parallelism_threads(job.threads)
            threading.set_inter_op_parallelism_threads(job.threads)
        self.layers = [
            getattr(keras.layers, job.kind)(
                job.hidden_size, return_sequences=True, return_state=True
            )
            for _ in range(job.num_layers)
        ]
        features = job.x.shape[-1]
        for layer, weights in zip(self.layers, job.weights, strict=True):
            layer.build((job.x.shape[1], job.x.shape[0], features))
            layer.set_weights(weights)
            features = job.hidden_size
        self.x = tf.constant(job.x.transpose(1, 0, 2))
        self.state = [[tf.constant(part[n]) for part in job.state] for n in range(job.num_layers)]
        compiled = tf.function(jit_compile=self.jit_compile)
        self.forward, self.gradient = compiled(self._forward), compiled(self._gradient)

    def _forward(self, x: Any, state: Any) -> tuple[Any, list[Any]]:
        final = []
        for layer, parts in zip(self.layers, state, strict=True):
            x, *after = layer(x, initial_state=parts)
            final.append(after)
        return x, final

    def _gradient(self, x: Any, state: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self._forward(x, state)[0]))
        return tape.gradient(loss, [weight for layer in self.layers for weight in layer.weights])

    def inference(self) -> Any:
        outputs, final = self.forward(self.x, self.state)
        outputs.numpy()  # waits for the result; it is not copied
        return outputs, final

    def train(self) -> Any:
        gradients = self.gradient(self.x, self.state)
        gradients[0].numpy()
        return gradients

    def arrays(self, phase: str, result: Any) -> dict[str, Array]:
        if phase == "train":
            return {str(n): np.asarray(gradient) for n, gradient in enumerate(result)}
        outputs, final = result
        states = [np.stack(part) for part in zip(*final, strict=True)]
        parts = [np.asarray(outputs).transpose(1, 0, 2), *states]
        return dict(zip(NAMES, parts, strict=False))


CONTENDER = KerasContender
VERSION = f"keras {keras.__version__}, tensorflow {tf.__version__}"
