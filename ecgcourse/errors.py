"""The package's own errors and its warning."""


class EcgCourseError(Exception):
    """Base of every error that the package raises on purpose."""


class DataError(EcgCourseError, ValueError):
    """Data that can't be used: the message names the file or record, what is wrong and what to do."""


class SettingError(EcgCourseError, ValueError):
    """A setting that doesn't exist or has a value that isn't allowed."""


class CheckpointError(EcgCourseError, ValueError):
    """A file that isn't a checkpoint of the model asked for."""


class EcgCourseWarning(UserWarning):
    """Something that didn't stop the work but that the user should know."""
