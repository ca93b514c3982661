"""Errors a user can act on. Each message says what was expected, what was found and what to do."""


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its type's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def named(error: Exception) -> str:
    """Return an error's type and the first line of what it says: ``"RuntimeError: no device"``."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


class SpanError(Exception):
    """Base of every error raised on purpose; command lines print it as one sentence and exit 1."""


class ConfigError(SpanError, ValueError):
    """A network configuration that cannot exist, such as scale 5."""


class RetiredError(ConfigError):
    """A setting that only older versions had, such as ``morph_steps``."""


class BackendError(SpanError, ImportError):
    """Keras cannot load with the backend that its surroundings name."""


class CheckpointError(SpanError):
    """A weights file that cannot be read or does not hold a SPAN network."""


class UnsafeCheckpointError(CheckpointError):
    """A pickle that asks for a callable outside the allow-list; it was refused, not executed."""


class ImageError(SpanError):
    """An image that cannot be read, processed or written."""


class TargetExistsError(ImageError):
    """The file to write exists, perhaps since a moment ago, and is not to be replaced."""

    def __init__(self, path):
        super().__init__(f"{path} exists and is kept; --overwrite replaces it.")


class DataError(SpanError):
    """A data folder without usable images, or images that do not fit the request."""


class PairError(DataError):
    """An HR and an LR image that do not fit together."""


class TrainingError(SpanError):
    """A training run that cannot start, continue or resume."""


class ExportError(SpanError):
    """An export that cannot be written or does not reproduce its source."""
