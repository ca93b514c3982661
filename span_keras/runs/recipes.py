"""The recipes of a training run."""

from __future__ import annotations

from span_keras.constants import BETA_2, DEFAULTS, SPIKE_FACTOR

PAPER_HR_PATCH = 256

RECIPES = {
    # This project's own, which the page has, too.
    "default": {
        **{name: value for name, value in DEFAULTS.items() if name != "seed"},
        "beta_2": BETA_2,
        "perceptual": "vgg16",
        # Few patches vary much from batch to batch.
        "spike_factor": SPIKE_FACTOR,
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
