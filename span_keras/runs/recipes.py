"""The recipes of a training run."""

from __future__ import annotations

PAPER_HR_PATCH = 256

RECIPES = {
    # This project's own: small batches that any machine can train with.
    "default": {
        "epochs": 500,
        "steps_per_epoch": 100,
        "batch_size": 4,
        "patch_size": 48,
        "learning_rate": 1e-4,
        "rate_epochs": (200, 300),
        "weight_decay": 1e-4,
        "beta_2": 0.999,
        "perceptual": "vgg16",
        "vgg_weight": 0.001,
        # Few patches vary much from batch to batch.
        "spike_factor": 10.0,
    },
    # The authors', section 4.1 of the paper: a million steps, the rate halved every 200,000.
    "paper": {
        "epochs": 1000,
        "steps_per_epoch": 1000,
        "batch_size": 64,
        "patch_size": None,
        "learning_rate": 5e-4,
        "rate_steps": (200_000, 400_000, 600_000, 800_000),
        "weight_decay": 0.0,
        "beta_2": 0.99,
        "perceptual": "none",
        "vgg_weight": 0.0,
        "spike_factor": 4.0,
    },
}
