"""Groups of parameters that are trained as if each were alone."""

from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from sklearn_fsad._training.groups import GroupClipping, GroupCycles
from sklearn_fsad._training.optimizers import Adam

PER_EPOCH, N_EPOCHS = (3, 5), 4


def new_optimizer(n_groups=2):
    return Adam([{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in range(n_groups)])


def settings_of(group):
    return group["lr"], group["betas"]


def alone(n_steps):
    """Rates and momenta of one group, in each step of its own cycle."""
    optimizer, found = new_optimizer(1), []
    cycle = OneCycleLR(optimizer, max_lr=0.1, total_steps=n_steps)
    for _ in range(n_steps):
        found.append(settings_of(optimizer.param_groups[0]))
        optimizer.step()
        cycle.step()
    return found


def together(optimizer, cycles, n_steps, done=0):
    found = [[], []]
    for step in range(done, done + n_steps):
        for i, group in enumerate(optimizer.param_groups):
            if step % max(PER_EPOCH) < PER_EPOCH[i]:
                found[i].append(settings_of(group))
        optimizer.step()
        cycles.step()
    return found


def test_each_group_has_the_cycle_of_its_own_steps():
    optimizer = new_optimizer()
    cycles = GroupCycles(optimizer, PER_EPOCH, N_EPOCHS, max_lr=0.1)
    found = together(optimizer, cycles, 20)
    assert found == [alone(12), alone(20)]


def test_cycles_go_on_from_what_was_kept_of_them_and_of_the_optimizer():
    optimizer = new_optimizer()
    cycles = GroupCycles(optimizer, PER_EPOCH, N_EPOCHS, max_lr=0.1)
    together(optimizer, cycles, 9)
    kept = optimizer.state_dict(), cycles.state_dict()
    again = new_optimizer()
    resumed = GroupCycles(again, PER_EPOCH, N_EPOCHS, max_lr=0.1)
    again.load_state_dict(kept[0])
    resumed.load_state_dict(kept[1])
    assert together(again, resumed, 11, done=9) == together(optimizer, cycles, 11, done=9)


def test_the_gradient_of_each_group_is_shortened_on_its_own():
    optimizer = new_optimizer(3)
    gradients = [torch.tensor([30.0, 40.0]), torch.tensor([0.3, 0.4]), None]
    for group, gradient in zip(optimizer.param_groups, gradients, strict=True):
        group["params"][0].grad = None if gradient is None else gradient.clone()
    GroupClipping(5.0).on_grad_computed(SimpleNamespace(optimizer_=optimizer))
    first, second, third = (group["params"][0].grad for group in optimizer.param_groups)
    assert first.tolist() == pytest.approx([3.0, 4.0], rel=1e-5)
    assert second.tolist() == pytest.approx([0.3, 0.4])
    assert third is None
