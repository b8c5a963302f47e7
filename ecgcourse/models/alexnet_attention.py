"""AlexNet whose convolutions see the whole image at once: with self-attention."""

import torch
from torch import nn
from torch.nn import functional

from ecgcourse.models.alexnet import AlexNet

PIXELS_AT_A_TIME = 512
"""Keys whose weights are held at once where the softmax goes over the queries."""


class SelfAttention(nn.Module):
    """Add to each pixel a mean of all pixels, weighted by likeness.

    After Zhang et al. (2019), equations 1–4: likeness is the dot product of a query and a key, weights are
    its softmax over the pixels attended to, and a factor gamma, 0 at first, says how much is added.

    Parameters
    ----------
    channels : int
        Channels of the map; queries and keys have an eighth of them, at least 1.
    softmax_over : {"keys", "queries"}
        Whether the weights with which one pixel attends sum to 1, or those with which one pixel is attended to.

    References
    ----------
    Zhang, H., Goodfellow, I., Metaxas, D., Odena, A. (2019). Self-attention generative adversarial networks.
    ICML. arXiv:1805.08318.
    """

    def __init__(self, channels: int, softmax_over: str = "keys"):
        super().__init__()
        self.softmax_over = softmax_over
        narrow = max(1, channels // 8)
        self.query = nn.Conv2d(channels, narrow, 1)
        self.key = nn.Conv2d(channels, narrow, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, h, w) to the same shape."""
        query, key, value = (_to_tokens(part(x)) for part in (self.query, self.key, self.value))
        seen = (_over_keys if self.softmax_over == "keys" else _over_queries)(query, key, value)
        return x + self.gamma * seen[:, 0].transpose(1, 2).reshape(x.shape)


class AlexNetAttention(AlexNet):
    """:class:`ecgcourse.models.alexnet.AlexNet` with self-attention after its first and third convolution.

    Narotamo et al. 2024 took 8 filters and no dropout. Their code takes the softmax over the pixels that
    attend, ``softmax_over="queries"``, not over those attended to, as Zhang et al. (2019) do and is the default here.

    Parameters
    ----------
    filters, in_channels, n_classes, image_size, dropout, init, standardize
        As for AlexNet.
    softmax_over
        As for :class:`SelfAttention`.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    choices = AlexNet.choices | {"softmax_over": ("keys", "queries")}

    def __init__(
        self,
        filters: int = 8,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        dropout: float = 0.0,
        init: str = "pytorch",
        standardize: bool = False,
        softmax_over: str = "keys",
    ):
        super().__init__(filters, in_channels, n_classes, image_size, dropout, init, standardize)
        layers = list(self.features)
        # Behind the ReLU of the third convolution first, so that the earlier place doesn't move it.
        layers.insert(10, SelfAttention(4 * filters, softmax_over))
        layers.insert(2, SelfAttention(filters, softmax_over))
        self.features = nn.Sequential(*layers)


def _over_keys(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    # Zeros change no dot product, and kernels that never hold all h·w × h·w weights need equal widths.
    padding = (0, value.shape[-1] - query.shape[-1])
    query, key = functional.pad(query, padding), functional.pad(key, padding)
    return functional.scaled_dot_product_attention(query, key, value, scale=1.0)


def _over_queries(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    seen = torch.zeros_like(value)
    # In parts, because all h·w × h·w weights of 62 × 62 pixels take 59 MB for each image.
    for some_keys, some_values in zip(key.split(PIXELS_AT_A_TIME, -2), value.split(PIXELS_AT_A_TIME, -2), strict=True):
        seen = seen + (query @ some_keys.transpose(-1, -2)).softmax(dim=-2) @ some_values
    return seen


def _to_tokens(x: torch.Tensor) -> torch.Tensor:
    """(B, c, h, w) -> (B, 1, h·w, c): one token per pixel, one head."""
    return x.flatten(2).transpose(1, 2)[:, None]
