"""The recurrent networks of Narotamo et al. 2024: GRU, LSTM and the plain RNN. Introduced in chapter 12."""

from typing import ClassVar

import torch
from torch import nn

from ecgcourse.models.network import Network


class Recurrent(Network):
    """Recurrent layers read a signal sample by sample; a linear layer decides on the last hidden state.

    With two directions, the second reads backwards, and its hidden state at the first sample stands beside that of
    the first at the last. With attention, the hidden states of all samples are averaged, each weighted by the softmax
    over time of a score that a linear layer of one output gives it (Zhou et al. 2016, without their tanh).
    :class:`GRU`, :class:`LSTM` and :class:`RNN` say which kind of layer it is.

    Parameters
    ----------
    hidden : int
        Hidden size H: numbers in the hidden state of each layer in each direction.
    layers : int
        Recurrent layers, each reading the one below.
    bidirectional : bool
        Whether each layer reads backwards as well.
    leads : int
        Leads per record, L.
    n_classes : int
        Logits per record, K.
    dropout : float
        Dropout probability between two recurrent layers.
    attention : bool
        Whether a weighted mean over the samples takes the place of the last hidden state.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Zhou, P., et al. (2016). Attention-based bidirectional long short-term memory networks for relation
    classification. ACL. doi:10.18653/v1/P16-2034.
    """

    inputs = ("signals",)
    scaling = "z_score"
    choices = {"bidirectional": (False, True), "attention": (False, True)}
    layer_type: ClassVar[type[nn.RNNBase]]

    def __init__(
        self,
        hidden: int,
        layers: int,
        bidirectional: bool,
        leads: int,
        n_classes: int,
        dropout: float,
        attention: bool,
    ):
        super().__init__()
        # PyTorch warns of dropout where there is nothing between layers.
        between = dropout if layers > 1 else 0.0
        self.rnn = self.layer_type(
            leads, hidden, layers, dropout=between, bidirectional=bidirectional, batch_first=True
        )
        self.embedding_size = hidden * (2 if bidirectional else 1)
        self.attention = nn.Linear(self.embedding_size, 1) if attention else None
        self.head = nn.Linear(self.embedding_size, n_classes)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T), each lead z-scored, to logits (B, K); DataError for another L."""
        return self.head(self.embed(signals))

    def embed(self, signals: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, H), or (B, 2H) with two directions."""
        self.check_signals(signals)
        states, _ = self.rnn(signals.transpose(1, 2))
        if self.attention is not None:
            return (self.attention(states).softmax(dim=1) * states).sum(dim=1)
        hidden = self.settings["hidden"]
        # Without a second direction nothing is left for the second part.
        return torch.cat([states[:, -1, :hidden], states[:, 0, hidden:]], dim=1)


class GRU(Recurrent):
    """Gated recurrent units: three layers of 128, as in the best GRU of Narotamo et al. 2024.

    In their fusions it had two layers, two directions and dropout 0.5.

    Parameters
    ----------
    hidden, layers, bidirectional, leads, n_classes, dropout, attention
        As for :class:`Recurrent`.

    References
    ----------
    Cho, K., et al. (2014). Learning phrase representations using RNN encoder-decoder for statistical machine
    translation. EMNLP. doi:10.3115/v1/D14-1179.
    """

    layer_type = nn.GRU

    def __init__(
        self,
        hidden: int = 128,
        layers: int = 3,
        bidirectional: bool = False,
        leads: int = 3,
        n_classes: int = 4,
        dropout: float = 0.3,
        attention: bool = False,
    ):
        super().__init__(hidden, layers, bidirectional, leads, n_classes, dropout, attention)


class LSTM(Recurrent):
    """Long short-term memory: two layers of 128, as in the best LSTM of Narotamo et al. 2024.

    Parameters
    ----------
    hidden, layers, bidirectional, leads, n_classes, dropout, attention
        As for :class:`Recurrent`.

    References
    ----------
    Hochreiter, S., Schmidhuber, J. (1997). Long short-term memory. Neural Computation 9.
    doi:10.1162/neco.1997.9.8.1735.
    """

    layer_type = nn.LSTM

    def __init__(
        self,
        hidden: int = 128,
        layers: int = 2,
        bidirectional: bool = False,
        leads: int = 3,
        n_classes: int = 4,
        dropout: float = 0.3,
        attention: bool = False,
    ):
        super().__init__(hidden, layers, bidirectional, leads, n_classes, dropout, attention)


class RNN(Recurrent):
    """Plain recurrent units without gates, h = tanh(W x + U h' + b): two layers of 128, as in Narotamo et al.'s code.

    Parameters
    ----------
    hidden, layers, bidirectional, leads, n_classes, dropout, attention
        As for :class:`Recurrent`.

    References
    ----------
    Elman, J. L. (1990). Finding structure in time. Cognitive Science 14. doi:10.1207/s15516709cog1402_1.
    """

    layer_type = nn.RNN

    def __init__(
        self,
        hidden: int = 128,
        layers: int = 2,
        bidirectional: bool = False,
        leads: int = 3,
        n_classes: int = 4,
        dropout: float = 0.3,
        attention: bool = False,
    ):
        super().__init__(hidden, layers, bidirectional, leads, n_classes, dropout, attention)
