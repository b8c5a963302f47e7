"""The models of the course: one architecture per file, one registry.

A model takes signals (B, L, T), images (B, C, S, S) as floats in [0, 1], or both in this order, and returns
logits (B, K), one per class. It carries ``settings``: its registry name and the arguments it was made with,
which is all a checkpoint needs to build it again. Introduced in chapters 9, 12 and 13.
"""

from ecgcourse.models.alexnet import AlexNet
from ecgcourse.models.alexnet_attention import AlexNetAttention
from ecgcourse.models.cnn import CNN
from ecgcourse.models.cnn1d import CNN1d
from ecgcourse.models.cnn_recurrent import CNNGRU, CNNLSTM
from ecgcourse.models.compact import Compact
from ecgcourse.models.compact_differences import CompactDifferences
from ecgcourse.models.early_fusion import EarlyFusion
from ecgcourse.models.feature_fusion import FeatureFusion
from ecgcourse.models.gated_fusion import GatedFusion
from ecgcourse.models.image_fusion import ImageFusion
from ecgcourse.models.joint_fusion import JointFusion
from ecgcourse.models.late_fusion import LateFusion
from ecgcourse.models.mobilenet import MobileNet
from ecgcourse.models.original_weights import load_original
from ecgcourse.models.recurrent import GRU, LSTM, RNN
from ecgcourse.models.registry import (
    REGISTRY,
    create,
    has_setting,
    image_recipe,
    inputs,
    names,
    signal_recipe,
    with_present_names,
)
from ecgcourse.models.resnet import ResNet
from ecgcourse.models.resnet1d import ResNet1d
from ecgcourse.models.vgg import VGG

__all__ = [
    "REGISTRY",
    "create",
    "has_setting",
    "image_recipe",
    "inputs",
    "load_original",
    "names",
    "signal_recipe",
    "with_present_names",
]

REGISTRY.update(
    alexnet=AlexNet,
    alexnet_attention=AlexNetAttention,
    cnn=CNN,
    cnn1d=CNN1d,
    cnn_gru=CNNGRU,
    cnn_lstm=CNNLSTM,
    compact=Compact,
    compact_differences=CompactDifferences,
    early_fusion=EarlyFusion,
    feature_fusion=FeatureFusion,
    gated_fusion=GatedFusion,
    gru=GRU,
    image_fusion=ImageFusion,
    joint_fusion=JointFusion,
    late_fusion=LateFusion,
    lstm=LSTM,
    mobilenet=MobileNet,
    resnet=ResNet,
    resnet1d=ResNet1d,
    rnn=RNN,
    vgg=VGG,
)
