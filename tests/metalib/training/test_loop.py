"""The outer loop: against a literal loop, alone and in a stack, interrupted and not."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from metalib import store
from metalib.derivatives import gradient
from metalib.errors import DivergenceError, InputError, StoreError
from metalib.params import Params, add_scaled, mean, select, subtract
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import Sine
from metalib.training import loop as training
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from tests.oracles import flatten, relative_error, unrolled_maml
from tests.tolerances import FLOAT32, ROUNDOFF

DOUBLE = Sine(dtype="float64")


class Length:
    """A monitor: how long the first of the weights are."""

    columns = ("length",)

    def as_dict(self):
        return {"kind": "Length"}

    def __call__(self, family, configs, phi, inner, block):
        return next(iter(phi.values())).flatten(1).norm(dim=1)[:, None].numpy()


def literal(config: TrainingConfig, family: Sine = DOUBLE) -> Params:
    """Algorithm 1 (and Eq. 5) written out for one run: draw, adapt step by step, move."""
    phi = family.initialize(config.seed)
    for i in range(config.iterations):
        sampled = family.sample(config.seed, i // BLOCK, config.tasks, config.k)
        moves = []
        for task in range(config.tasks):
            losses = [
                family.loss({n: torch.from_numpy(a[i % BLOCK, task, j])[None] for n, a in sampled.items()})
                for j in range(config.k)
            ]
            if config.algorithm == "maml":
                v = unrolled_maml(losses, phi, config.alpha)
                moves.append({name: -config.alpha * value for name, value in v.items()})
                continue
            path = [phi]
            for loss in losses:
                path.append(add_scaled(path[-1], gradient(loss, path[-1]), -config.alpha))
            start, end = {"reptile": (0, -1), "fomaml": (-2, -1), "joint": (0, 1)}[config.algorithm]
            moves.append(subtract(path[end], path[start]))
        phi = add_scaled(phi, mean(moves), config.epsilon * (1 - i / config.iterations))
    return phi


@pytest.mark.parametrize("algorithm", ["reptile", "fomaml", "joint", "maml"])
@pytest.mark.parametrize("tasks", [1, 3])
def test_training_is_algorithm_1_written_out(algorithm, tasks):
    config = TrainingConfig(algorithm=algorithm, tasks=tasks, iterations=BLOCK + 10, epsilon=0.5)
    trained = train(DOUBLE, [config])
    start = DOUBLE.initialize(0)
    moved, expected = subtract(trained.phi, start), subtract(literal(config), start)
    assert relative_error(moved, expected) < ROUNDOFF


def stack_of_twelve(iterations: int) -> list[TrainingConfig]:
    return [
        TrainingConfig(algorithm=a, seed=seed, alpha=alpha, iterations=iterations, epsilon=0.3)
        for a, (seed, alpha) in itertools.product(
            ("reptile", "fomaml", "maml", "joint"), ((0, 0.02), (1, 0.02), (2, 0.01))
        )
    ]


def alone_equals_stacked(device: str) -> None:
    configs = stack_of_twelve(100)
    stacked = train(Sine(), configs, device=device).phi
    for r, config in enumerate(configs):
        start = {name: value.to(device) for name, value in Sine().initialize(config.seed).items()}
        alone = subtract(train(Sine(), [config], device=device).phi, start)
        together = subtract(select(stacked, slice(r, r + 1)), start)
        assert relative_error(together, alone) < FLOAT32, config


def test_a_run_trained_alone_equals_itself_in_a_stack_of_12():
    alone_equals_stacked("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_trained_alone_equals_itself_in_a_stack_of_12_on_a_gpu():
    alone_equals_stacked("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_to_the_same_weights_as_the_cpu():
    config = TrainingConfig(iterations=100)
    gpu = {name: value.cpu() for name, value in train(DOUBLE, [config], device="cuda").phi.items()}
    assert relative_error(gpu, train(DOUBLE, [config]).phi) < ROUNDOFF


@pytest.mark.parametrize("inner", ["sgd", "adam"])
@pytest.mark.parametrize("outer", ["interpolate", "adam", "nesterov"])
def test_an_interrupted_run_ends_bit_for_bit_where_an_undisturbed_one_does(
    inner, outer, tmp_path, monkeypatch
):
    configs = [
        TrainingConfig(seed=s, iterations=4 * BLOCK, tasks=2, inner=inner, outer=outer, epsilon=0.01)
        for s in (0, 1)
    ]
    undisturbed = train(Sine(), configs)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    blocks = itertools.count()
    whole_block = training._train_block

    def dies_in_the_third_block(*arguments):
        if next(blocks) == 2:
            raise KeyboardInterrupt
        return whole_block(*arguments)

    monkeypatch.setattr(training, "_train_block", dies_in_the_third_block)
    checkpoint = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        train(Sine(), configs, checkpoint=checkpoint)
    resumed = train(Sine(), configs, checkpoint=checkpoint)
    assert next(blocks) == 5, "two blocks before the interruption, one lost, two after it"
    for name, value in undisturbed.phi.items():
        assert torch.equal(resumed.phi[name], value)
    if inner == "adam":
        assert torch.equal(
            flatten(resumed.inner.moments["second"]), flatten(undisturbed.inner.moments["second"])
        )
        assert resumed.inner.steps == undisturbed.inner.steps == 4 * BLOCK * 2 * 5
    assert resumed.history.equals(undisturbed.history)


def test_a_finished_checkpoint_is_the_result_and_is_not_trained_again(tmp_path):
    config = TrainingConfig(iterations=BLOCK)
    first = train(Sine(), [config], checkpoint=tmp_path / "run.npz")
    again = train(Sine(), [config], checkpoint=tmp_path / "run.npz")
    assert torch.equal(flatten(first.phi), flatten(again.phi))
    assert again.seconds == first.seconds


@pytest.mark.parametrize(
    ("family", "change", "monitor"),
    [
        (Sine(), {"alpha": 0.01}, None),
        (Sine(), {"seed": 1}, None),
        (Sine(activation="relu"), {}, None),
        (Sine(batch=5), {}, None),
        (Sine(), {}, Length()),
    ],
)
def test_the_checkpoint_of_another_run_family_or_monitor_is_refused(tmp_path, family, change, monitor):
    run = TrainingConfig(iterations=1)
    train(Sine(), [run], checkpoint=tmp_path / "run.npz")
    with pytest.raises(StoreError, match=r"run.npz is the checkpoint of other runs; delete it"):
        train(family, [replace(run, **change)], checkpoint=tmp_path / "run.npz", monitor=monitor)


def test_what_to_do_on_divergence_is_one_of_two(tmp_path):
    with pytest.raises(InputError, match="on_divergence is 'rais'; choose one of raise, record"):
        train(Sine(), [TrainingConfig(iterations=1)], on_divergence="rais")


def test_a_checkpoint_without_what_is_needed_is_refused(tmp_path):
    checkpoint = tmp_path / "run.npz"
    train(Sine(), [TrainingConfig(iterations=1)], checkpoint=checkpoint)
    arrays, header = store.load_arrays(checkpoint)
    del arrays["numbers"]
    store.save_arrays(checkpoint, arrays, header)
    with pytest.raises(StoreError, match=r"run.npz has no 'numbers': another version of metalib wrote it"):
        train(Sine(), [TrainingConfig(iterations=1)], checkpoint=checkpoint)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoint = tmp_path / "run.npz"
    train(Sine(), [TrainingConfig(iterations=1)], checkpoint=checkpoint)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 0xFF
    checkpoint.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"run.npz is damaged"):
        train(Sine(), [TrainingConfig(iterations=1)], checkpoint=checkpoint)


def test_feeding_the_difference_to_adam_is_torch_optim_adam_on_it():
    config = TrainingConfig(iterations=20, outer="adam", epsilon=0.001, epsilon_final=0.001)
    phi = DOUBLE.initialize(0)
    sampled = DOUBLE.sample(0, 0, 1, config.k)
    leaf = torch.nn.Parameter(flatten(phi))
    adam = torch.optim.Adam([leaf], lr=0.001)
    shapes = phi
    for i in range(20):
        current = {
            n: v.view_as(shapes[n])
            for n, v in zip(shapes, leaf.detach().split([v.numel() for v in shapes.values()]), strict=True)
        }
        adapted = current
        for j in range(config.k):
            loss = DOUBLE.loss({n: torch.from_numpy(a[i, 0, j])[None] for n, a in sampled.items()})
            adapted = add_scaled(adapted, gradient(loss, adapted), -config.alpha)
        leaf.grad = (flatten(current) - flatten(adapted)) / config.alpha
        adam.step()
    ours = train(DOUBLE, [config]).phi
    error = (flatten(ours) - leaf.detach()).norm() / (leaf.detach() - flatten(phi)).norm()
    assert float(error) < ROUNDOFF


def test_a_diverging_alpha_is_an_error_that_names_it():
    with pytest.raises(
        DivergenceError, match=r"outer iterations 0 to .* alpha = 50.* choose a smaller alpha"
    ):
        train(Sine(), [TrainingConfig(alpha=50.0, iterations=200)])


class Bursting(Sine):
    """Sine waves that are infinite from the third block on."""

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        sampled = super().sample(seed, block, tasks, steps)
        return sampled if block < 2 else {**sampled, "y": np.full_like(sampled["y"], np.inf)}


def test_a_divergence_keeps_what_was_stored_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    config, checkpoint = TrainingConfig(iterations=3 * BLOCK), tmp_path / "run.npz"
    with pytest.raises(DivergenceError, match=f"outer iterations {2 * BLOCK} to"):
        train(Bursting(), [config], checkpoint=checkpoint)
    assert list(tmp_path.iterdir()) == [checkpoint]
    reached = []
    gone_on = train(Sine(), [config], checkpoint=checkpoint, callback=reached.append)
    assert min(reached) >= 2 * BLOCK, "the first two blocks are not trained again"
    whole = train(Sine(), [config])
    assert all(torch.equal(value, whole.phi[name]) for name, value in gone_on.phi.items())


def test_a_device_that_is_not_there_is_an_error():
    with pytest.raises(InputError, match="device is 'tpu'; this machine has cpu"):
        train(Sine(), [TrainingConfig(iterations=1)], device="tpu")


def test_runs_of_different_shape_cannot_share_a_stack():
    with pytest.raises(InputError, match=r"must share k, but have \[1, 2\]; train them apart"):
        train(Sine(), [TrainingConfig(k=1), TrainingConfig(k=2)])


def test_a_kept_divergence_does_not_touch_the_other_runs():
    healthy = TrainingConfig(iterations=BLOCK)
    sick = TrainingConfig(alpha=50.0, iterations=BLOCK)
    together = train(Sine(), [sick, healthy], on_divergence="record")
    alone = train(Sine(), [healthy])
    assert not torch.isfinite(flatten(select(together.phi, slice(0, 1)))).all()
    assert relative_error(select(together.phi, slice(1, 2)), alone.phi) < FLOAT32


@pytest.mark.parametrize("change", [{"inner": "adam"}, {"outer": "adam"}, {}])
def test_mixed_algorithms_and_step_sizes_with_several_tasks_train_as_they_do_alone(change):
    settings = (
        ("reptile", 0.02, 0.01),
        ("fomaml", 0.01, 0.01),
        ("fomaml", 0.02, 0.02),
        ("joint", 0.02, 0.03),
    )
    configs = [
        TrainingConfig(algorithm=a, alpha=alpha, tasks=2, iterations=20, epsilon=epsilon, **change)
        for a, alpha, epsilon in settings
    ]
    stacked = train(DOUBLE, configs).phi
    for r, config in enumerate(configs):
        assert relative_error(select(stacked, slice(r, r + 1)), train(DOUBLE, [config]).phi) < ROUNDOFF
