"""Former names of public objects, which go on working and warn with the new one."""

import warnings
from collections.abc import Callable, Mapping


def former_names(module: dict[str, object], new_names: Mapping[str, str]) -> Callable[[str], object]:
    """Return a module's ``__getattr__`` (PEP 562) that finds what was renamed.

    Parameters
    ----------
    module
        The module's ``globals()``.
    new_names
        The former names, and what each is called now, which is a name of the same module.

    Returns
    -------
    callable
        Gives the object of a former name, with a DeprecationWarning that says the new one.

    Examples
    --------
    >>> __getattr__ = former_names(globals(), {"spread": "parallel_map"})
    """

    def find(name: str) -> object:
        if name not in new_names:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        message = f"{module['__name__']}.{name} is called {new_names[name]} now"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return module[new_names[name]]

    return find
