"""The small network on images that know up from down, in short crops. Introduced in chapter 13."""

from ecgcourse.images.fields import DIFFERENCE
from ecgcourse.models.compact import Compact
from ecgcourse.models.registry import LEADS_BY_COUNT
from ecgcourse.recipe import ImageRecipe

CROP, EVAL_CROPS = 128, 8


class CompactDifferences(Compact):
    """:class:`~ecgcourse.models.compact.Compact` on one image per lead: the signed differences of 1.28 s.

    Three things that the nine images of ten seconds lose are kept. The sign: an image of ``x_i − x_j``
    (:func:`ecgcourse.images.fields.difference`) turns over with its lead. The voltage: one scale for all leads and
    records. The samples: of a crop of 128 of them each is mixed into a pixel, where the side is 64 or more. While
    learning, a crop lies at a random place; a record is judged by the mean logits of eight crops.

    Parameters
    ----------
    leads : int
        Leads L that are drawn: by default I, II, V2.
    image_size : int
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
        image_size: int = 64,
        dropout: float = 0.1,
        head_dropout: float = 0.3,
    ):
        super().__init__(filters, leads, n_classes, image_size, dropout, head_dropout)

    @staticmethod
    def own_images(settings: dict) -> ImageRecipe | None:
        """How its images are made by default: crops at random places, or eight at fixed ones for judging."""
        leads = LEADS_BY_COUNT.get(settings["leads"])
        how = {"scaling": "fixed_scale", "crop": CROP, "eval_crops": EVAL_CROPS}
        return leads and ImageRecipe(leads, (DIFFERENCE,), settings["image_size"], **how)
