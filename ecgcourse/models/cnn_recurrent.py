"""Convolutions that shorten a signal before a recurrent layer reads it: CNN-LSTM and CNN-GRU."""

from typing import ClassVar

import torch
from torch import nn

from ecgcourse.models.network import Network

SHORTEST = 36
"""Samples of which three convolutions and poolings leave one."""


class CNNRecurrent(Network):
    """Three convolutions along time, each with a pooling, then one recurrent layer; a linear layer decides.

    Of 1,000 samples the recurrent layer reads 121. :class:`CNNLSTM` and :class:`CNNGRU` say of which kind it is.

    Narotamo et al. 2024 keep a signal as (B, T, L), and a convolution wants (B, L, T). Where they needed a transpose
    they wrote ``torch.reshape``, which keeps all numbers in their order in memory and only counts them off anew: the
    first of the "leads" then holds the first third of the record, all three leads by turns. The same happens to the
    maps before the recurrent layer. Such a network still learns, but neither from leads nor from time as they are.
    ``mixed_axes=True`` repeats it, because weights that were learned so need it; the default is the transpose.

    Parameters
    ----------
    hidden : int
        Hidden size H of the recurrent layer.
    leads : int
        Leads per record, L; the convolutions have 2L, 4L and 8L filters of five samples.
    n_classes : int
        Logits per record, K.
    dropout : float
        Dropout probability after each pooling.
    mixed_axes : bool
        Whether time and leads are mixed as in Narotamo et al. 2024.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    inputs = ("signals",)
    scaling = "z_score"
    choices = {"mixed_axes": (False, True)}
    layer_type: ClassVar[type[nn.RNNBase]]

    def __init__(
        self, hidden: int = 128, leads: int = 3, n_classes: int = 4, dropout: float = 0.3, mixed_axes: bool = False
    ):
        super().__init__()
        self.embedding_size = hidden
        self.features = nn.Sequential(
            *_convolution(leads, 2 * leads, dropout),
            *_convolution(2 * leads, 4 * leads, dropout),
            *_convolution(4 * leads, 8 * leads, dropout),
        )
        self.rnn = self.layer_type(8 * leads, hidden, batch_first=True)
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T), each lead z-scored, to logits (B, K); DataError for another L, or T below 36."""
        return self.head(self.embed(signals))

    def embed(self, signals: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on, the last hidden state: (B, H)."""
        self.check_signals(signals, shortest=SHORTEST)
        mixed = self.settings["mixed_axes"]
        maps = self.features(signals.transpose(1, 2).reshape(signals.shape) if mixed else signals)
        steps = maps.transpose(1, 2)
        states, _ = self.rnn(maps.reshape(steps.shape) if mixed else steps)
        return states[:, -1]


class CNNLSTM(CNNRecurrent):
    """Convolutions before long short-term memory. Parameters and errors are those of :class:`CNNRecurrent`."""

    layer_type = nn.LSTM


class CNNGRU(CNNRecurrent):
    """Convolutions before gated recurrent units. Parameters and errors are those of :class:`CNNRecurrent`."""

    layer_type = nn.GRU


def _convolution(channels_in: int, channels_out: int, dropout: float) -> list[nn.Module]:
    return [nn.Conv1d(channels_in, channels_out, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(dropout)]
