"""Settings of training runs that take seconds."""

from span_keras.runs.settings import Settings, resolve

TINY = {
    "scale": 2,
    "channels": 4,
    "blocks": 1,
    "batch_size": 2,
    "patch_size": 12,
    "epochs": 2,
    "steps_per_epoch": 3,
    "perceptual": "none",
}
"""Options of a run, which the command line has, too."""


def tiny_settings(data, **more) -> Settings:
    """Return the settings of a run on photographs in ``data``, with some options changed or added."""
    return resolve({**TINY, "rate_epochs": (), "val_images": 1, "log_every": 1, "data": str(data), **more})


def tiny_flags(**more) -> list[str]:
    """Return such options as words of a command line."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in {**TINY, **more}.items()]
