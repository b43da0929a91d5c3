"""Folders of finished runs with invented results."""

import json
from pathlib import Path
from typing import Any

from training_loop.config import Config


def invent(folder: Path, accuracies: list[float], seconds: float = 12.0, **options: Any) -> None:
    """Write the folder of a run of two steps in each epoch; accuracies from 0 to 1."""
    config = Config(epochs=len(accuracies), **options).resolved("digits", "cpu")
    epochs = [
        {
            "epoch": number,
            "training_loss": 1 / number,
            "sequences_per_second": 10.0,
            f"{config.split}_loss": 0.5,
            f"{config.split}_accuracy": accuracy,
        }
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    metrics = {
        f"{config.split}_accuracy": accuracies[-1],
        "seconds": seconds,
        "parameters": 1234,
        "epochs": epochs,
        "step_losses": [0.5] * (2 * len(epochs)),
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "model.safetensors").write_bytes(b"")
