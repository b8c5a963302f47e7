"""pyts's images in plain Python: it would compile itself when it is imported, for half a minute in each process."""

import numba

numba.config.DISABLE_JIT = True
try:
    from pyts.image import GramianAngularField, MarkovTransitionField, RecurrencePlot
finally:
    numba.config.DISABLE_JIT = False

__all__ = ["GramianAngularField", "MarkovTransitionField", "RecurrencePlot"]
