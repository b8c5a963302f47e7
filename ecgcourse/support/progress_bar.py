"""How far long work has come, shown in one way: :func:`progress_bar`."""

from tqdm import tqdm


def progress_bar(progress: bool | None, delay: float = 0, **settings: object) -> tqdm:
    """Make a tqdm bar.

    Parameters
    ----------
    progress : bool, optional
        Show it or not; None shows it on a terminal only, and not for what takes no longer than `delay`.
    delay : float
        Seconds.
    **settings
        tqdm's other ones: iterable or total, desc, unit.
    """
    shown_how = {"disable": None, "delay": delay} if progress is None else {"disable": not progress}
    return tqdm(**shown_how, **settings)
