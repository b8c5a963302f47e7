"""How the weights move: optimizer, schedule of its learning rate, steps, and the average that follows the weights.

Introduced in chapter 10.
"""

import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils
from torch.optim.lr_scheduler import LRScheduler

from ecgcourse.learning import distributed
from ecgcourse.learning.config import TrainConfig

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}

FIRST_SCALE = 2.0**16
"""What a loss is multiplied by at first, so that small gradients don't vanish in float16; PyTorch's own choice."""


class Stepper:
    """Turns the losses of batches into steps: scales and accumulates gradients, clips them, steps and counts.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Not a fused one beside a `scaler`: its `step` is called, and its hooks with it, even if nothing moves.
    scheduler : torch.optim.lr_scheduler.LRScheduler, optional
        Stepped after every step of the optimizer.
    scaler : torch.amp.GradScaler, optional
        Scales losses up and gradients down again, and skips steps whose gradients aren't finite numbers; then
        neither weights nor their average nor the schedule move. Micikevicius et al. 2018, arXiv:1710.03740.
    accumulate : int
        Batches per step.
    clip_norm : float
        Largest Euclidean norm of all gradients together; 0 for none.

    Attributes
    ----------
    skipped : int
        Steps that the scaler skipped.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler | None = None,
        scaler: torch.amp.GradScaler | None = None,
        accumulate: int = 1,
        clip_norm: float = 0.0,
    ):
        self.optimizer, self.scheduler = optimizer, scheduler
        self.scaler = torch.amp.GradScaler("cpu", enabled=False) if scaler is None else scaler
        self.accumulate, self.clip_norm = accumulate, clip_norm
        self.skipped = 0
        # Records of each batch since the last step, in all processes.
        self._totals: list[int | torch.Tensor] = []

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def zero_grad(self) -> None:
        """Forget the gradients of the last step; not those that the next one is to have."""
        if not self._totals:
            self.optimizer.zero_grad()

    def backward(self, loss: torch.Tensor, count: int) -> None:
        """Add the gradients of a batch: of its mean loss, over `count` records of this process."""
        context = distributed.context()
        self._totals.append(context.total(count))
        share = context.loss_scale(count, self.accumulate * self._totals[0])
        self.scaler.scale(loss * share).backward()

    def step(self, early: bool = False) -> None:
        """Take a step, if its batches are complete; or `early`, if there are any, with the gradients of these."""
        if len(self._totals) < (1 if early else self.accumulate):
            return
        # Does nothing without a scaler.
        self.scaler.unscale_(self.optimizer)
        self._weigh()
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self._weights(), self.clip_norm)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # What PyTorch tells of a skipped step.
        if self.scaler.get_scale() < scale:
            self.skipped += 1
        elif self.scheduler is not None:
            self.scheduler.step()
        self._totals = []

    def state_dict(self) -> dict:
        """Plain values and tensors, for :meth:`load_state_dict`; between two steps."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state; one without a scaler's is of a training that had none."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.skipped = state.get("skipped", 0)

    def _weigh(self) -> None:
        """Each batch was taken to have as many records as the first; the last ones of an epoch have fewer."""
        if self.accumulate > 1:
            factor = self.accumulate * self._totals[0] / sum(self._totals)
            for weight in self._weights():
                weight.grad.mul_(factor)

    def _weights(self) -> list[torch.Tensor]:
        """Those with a gradient."""
        groups = self.optimizer.param_groups
        return [weight for group in groups for weight in group["params"] if weight.grad is not None]


def stepper_of(model: nn.Module, config: TrainConfig, device: torch.device, batches_per_epoch: int) -> Stepper:
    """Optimizer, schedule and all else that a configuration says of the steps, for all weights of a model."""
    in_float16 = config.precision == "float16"
    # Fused goes over the weights once: Adam over 46 million takes 0.03 s on two CPU cores, not 0.2 s.
    optimizer = OPTIMIZERS[config.optimizer](
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=not in_float16
    )
    scheduler = scheduler_of(optimizer, config, -(-batches_per_epoch // config.accumulate))
    scaler = torch.amp.GradScaler(device.type, FIRST_SCALE, enabled=in_float16)
    return Stepper(optimizer, scheduler, scaler, config.accumulate, config.clip_norm)


def scheduler_of(optimizer: torch.optim.Optimizer, config: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    """What sets the learning rate after every step."""
    if config.schedule == "one_cycle":
        steps = config.epochs * steps_per_epoch
        # Momentum stays as the optimizer has it.
        return lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps, cycle_momentum=False)
    rise = round(config.warmup_epochs * steps_per_epoch)
    if rise:
        return lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / rise))
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)


def moving_average(model: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> swa_utils.AveragedModel | None:
    """A copy of the model whose weights follow the model's after each step; None if nothing is to be averaged."""
    if not decay:
        return None

    def rule(means: list[torch.Tensor], weights: list[torch.Tensor], n_averaged: torch.Tensor) -> None:
        # At first a mean of few: the starting values, most of all a running variance of 1, would stay for long.
        kept = min(decay, (1 + int(n_averaged)) / (10 + int(n_averaged)))
        swa_utils.get_ema_multi_avg_fn(kept)(means, weights, n_averaged)

    averaged = swa_utils.AveragedModel(model, multi_avg_fn=rule, use_buffers=True)
    optimizer.register_step_post_hook(lambda *_: averaged.update_parameters(model))
    return averaged
