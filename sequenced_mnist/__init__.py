"""Labelled images as sequences, in batches on the training device."""

from sequenced_mnist.batches import Batch, Batches
from sequenced_mnist.idx import DataError
from sequenced_mnist.images import DATASETS, ImageSets, load_images
from sequenced_mnist.sequencing import SEQUENCES, sequence_shape, to_sequences

__all__ = [
    "DATASETS",
    "SEQUENCES",
    "Batch",
    "Batches",
    "DataError",
    "ImageSets",
    "load_images",
    "sequence_shape",
    "to_sequences",
]
