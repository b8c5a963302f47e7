"""The fully convolutional network for signals. Introduced in chapter 12."""

import torch
from torch import nn

from ecgcourse.models.network import Network


class CNN1d(Network):
    """Three convolutions along time, a mean over the samples, one linear layer.

    The FCN of Wang et al. (2017), which Strodthoff et al. (2021) tried on PTB-XL too. Any length of signal
    will do, and no step makes it shorter.

    Parameters
    ----------
    filters : int
        Filters f of the first and of the third convolution; the second has 2f.
    leads : int
        Leads per record, L.
    n_classes : int
        Logits per record, K.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Wang, Z., Yan, W., Oates, T. (2017). Time series classification from scratch with deep neural networks: a
    strong baseline. IJCNN. doi:10.1109/IJCNN.2017.7966039.

    Strodthoff, N., Wagner, P., Schaeffter, T., Samek, W. (2021). Deep learning for ECG analysis: benchmarks and
    insights from PTB-XL. IEEE Journal of Biomedical and Health Informatics 25. doi:10.1109/JBHI.2020.3022989.
    """

    inputs = ("signals",)
    scaling = "z_score"

    def __init__(self, filters: int = 128, leads: int = 3, n_classes: int = 4):
        super().__init__()
        self.embedding_size = filters
        self.features = nn.Sequential(
            *_convolution(leads, filters, 8),
            *_convolution(filters, 2 * filters, 5),
            *_convolution(2 * filters, filters, 3),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(filters, n_classes)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T), each lead z-scored, to logits (B, K); DataError for another L."""
        return self.head(self.embed(signals))

    def embed(self, signals: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `filters`)."""
        self.check_signals(signals, shortest=8)
        return self.features(signals)


def _convolution(channels_in: int, channels_out: int, kernel: int) -> list[nn.Module]:
    # Zeros at the ends keep the length; eight samples need one more after than before.
    ends = nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0)
    # The normalization that follows has a bias of its own.
    convolution = nn.Conv1d(channels_in, channels_out, kernel, bias=False)
    return [ends, convolution, nn.BatchNorm1d(channels_out), nn.ReLU(inplace=True)]
