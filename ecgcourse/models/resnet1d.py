"""A residual network for signals. Introduced in chapter 12."""

import torch
from torch import nn

from ecgcourse.models.network import Network


class Block1d(nn.Module):
    """Two convolutions along time whose result is added to what came in.

    Where samples are skipped, the shortcut is average-pooled instead, and the last normalization starts at
    zero, so that a new block passes on what it gets (He et al. 2019, sections 3.1 and 4.2).

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the input and of the output.
    kernel : int
        Samples that a convolution sees, an odd number.
    stride : int
        Step of the first convolution.
    dropout : float
        Dropout probability between the convolutions.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, dropout: float):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(channels_in, channels_out, kernel, stride),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            *_convolution(channels_out, channels_out, kernel),
        )
        nn.init.zeros_(self.residual[-1].weight)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool1d(stride, ceil_mode=True))
        if channels_in != channels_out:
            self.shortcut.extend(_convolution(channels_in, channels_out, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, `channels_in`, T) to (B, `channels_out`, T / `stride`), rounded up."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class ResNet1d(Network):
    """One wide convolution, three residual blocks, mean and maximum over time, one linear layer.

    After the xresnet1d of Strodthoff et al. (2021), the best single network on PTB-XL there, made small for
    small training sets. It takes voltages, which the first normalization scales by those of the training
    set, so that tall waves stay taller than low ones. Any length from 16 samples will do.

    Parameters
    ----------
    filters : int
        Filters f of the first convolution and block; the next blocks have 2f and 4f.
    kernel : int
        Samples that a convolution in a block sees, an odd number; the first convolution sees 15.
    leads : int
        Leads per record, L.
    n_classes : int
        Logits per record, K.
    dropout : float
        Dropout probability within each block.
    head_dropout : float
        Dropout probability before the last layer.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Strodthoff, N., Wagner, P., Schaeffter, T., Samek, W. (2021). Deep learning for ECG analysis: benchmarks and
    insights from PTB-XL. IEEE Journal of Biomedical and Health Informatics 25. doi:10.1109/JBHI.2020.3022989.

    He, T., Zhang, Z., Zhang, H., Zhang, Z., Xie, J., Li, M. (2019). Bag of tricks for image classification with
    convolutional neural networks. CVPR. arXiv:1812.01187.
    """

    inputs = ("signals",)
    scaling = "millivolt"
    choices = {"kernel": tuple(range(1, 16, 2))}

    def __init__(
        self,
        filters: int = 32,
        kernel: int = 7,
        leads: int = 3,
        n_classes: int = 4,
        dropout: float = 0.1,
        head_dropout: float = 0.5,
    ):
        super().__init__()
        f = filters
        self.embedding_size = 8 * f
        self.features = nn.Sequential(
            nn.BatchNorm1d(leads),
            *_convolution(leads, f, 15, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(3, stride=2, padding=1),
            Block1d(f, f, kernel, 1, dropout),
            Block1d(f, 2 * f, kernel, 2, dropout),
            Block1d(2 * f, 4 * f, kernel, 2, dropout),
        )
        self.head = nn.Sequential(nn.Dropout(head_dropout), nn.Linear(self.embedding_size, n_classes))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T) in mV to logits (B, K); DataError for another L."""
        return self.head(self.embed(signals))

    def embed(self, signals: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, 8 · `filters`)."""
        self.check_signals(signals, shortest=16)
        found = self.features(signals)
        return torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    # The normalization that follows has a bias of its own.
    convolution = nn.Conv1d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm1d(channels_out)]
