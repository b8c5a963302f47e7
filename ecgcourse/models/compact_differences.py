"""The small network on images that know up from down, in short windows. Introduced in chapter 13."""

from ecgcourse.fields import DIFFERENCE
from ecgcourse.models.checks import check_choice
from ecgcourse.models.compact import Compact
from ecgcourse.models.registry import LEADS_BY_COUNT
from ecgcourse.recipe import ImageRecipe

WINDOW, VIEWS = 128, 8


class CompactDifferences(Compact):
    """:class:`~ecgcourse.models.compact.Compact` on one image per lead: the signed differences of 1.28 s.

    Three things that the nine images of ten seconds lose are kept. The sign: an image of ``x_i − x_j``
    (:func:`ecgcourse.fields.difference`) turns over with its lead. The voltage: one scale for all leads and records.
    The samples: of a window of 128 of them each is mixed into a pixel, where the side is 64 or more. While learning,
    a window lies at a random place; a record is judged by the mean logits of eight windows.

    Parameters
    ----------
    leads : {3, 12}
        Leads L that are drawn: I, II, V2, or all.
    size : int
        Side S of an image in pixels, at least 16.
    filters, n_classes, dropout, head_dropout
        As for Compact.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    def __init__(
        self,
        filters: int = 16,
        leads: int = 3,
        n_classes: int = 4,
        size: int = 64,
        dropout: float = 0.1,
        head_dropout: float = 0.3,
    ):
        check_choice("CompactDifferences", LEADS_BY_COUNT, leads=leads)
        super().__init__(filters, leads, n_classes, size, dropout, head_dropout)
        self.settings = {name: value for name, value in self.settings.items() if name != "in_channels"}
        self.settings["leads"] = leads

    def image_recipe(self, judging: bool = False) -> ImageRecipe:
        """How its images are made: windows at random places, or eight at fixed ones for judging."""
        leads, views = LEADS_BY_COUNT[self.settings["leads"]], VIEWS if judging else 0
        return ImageRecipe("fixed_scale", fields=(DIFFERENCE,), leads=leads, window=WINDOW, views=views)
