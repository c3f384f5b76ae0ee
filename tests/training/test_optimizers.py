"""Our optimisers are those of torch in all but what they import."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from families import TESTS

from sklearn_fsad._training import optimizers

NAMES = "Adam", "AdamW", "LBFGS"
FEW = {"lr": 0.05}


def trained(make, n_steps=5, **settings):
    """Weights, state and losses after some steps."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    rows, target = torch.randn(20, 3), torch.randn(20, 1)
    optimizer = make(module.parameters(), **FEW, **settings)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    told, losses = [], []
    optimizer.register_step_pre_hook(lambda *args: told.append("before"))
    optimizer.register_step_post_hook(lambda *args: told.append("after"))

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = (module(rows) - target).square().mean()
        loss.backward()
        return loss

    for _ in range(n_steps):
        losses.append(optimizer.step(closure))
        schedule.step()
    return module.state_dict(), optimizer.state_dict(), losses, told


@pytest.mark.parametrize("name", NAMES)
def test_they_learn_the_same_to_the_bit(name):
    settings = [{}, {"fused": True}, {"foreach": True}] if name != "LBFGS" else [{}]
    for each in settings:
        found = trained(getattr(optimizers, name), **each)
        expected = trained(getattr(torch.optim, name), **each)
        torch.testing.assert_close(found[:3], expected[:3], rtol=0.0, atol=0.0)
        assert found[3] == expected[3] == ["before", "after"] * 5


@pytest.mark.parametrize("name", NAMES)
def test_their_state_is_read_by_those_of_torch(name):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    ours = getattr(optimizers, name)([weight], **FEW)
    ours.step(lambda: weight.sum())
    for other in (getattr(torch.optim, name), getattr(optimizers, name)):
        again = other([weight], **FEW)
        again.load_state_dict(copy.deepcopy(ours.state_dict()))
        torch.testing.assert_close(again.state_dict(), ours.state_dict(), rtol=0.0, atol=0.0)
    torch.testing.assert_close(
        pickle.loads(pickle.dumps(ours)).state_dict(), ours.state_dict(), rtol=0.0, atol=0.0
    )


def test_parameters_that_are_none_are_refused_as_by_torch():
    with pytest.raises(TypeError, match="can only optimize Tensors"):
        optimizers.Adam([1.0])


def test_training_does_not_import_the_compiler_of_torch():
    program = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from families import little_work, make_family, unlearned
with little_work():
    for name in "mix", "mlp", "residual maml", "meta-fitted np":
        unlearned(name).set_params(episodes_per_epoch=4, max_epochs=1).meta_fit(make_family(4))
        assert not {{"torch._dynamo", "torch._inductor", "sympy"}} & set(sys.modules), name
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=TESTS.parent)
