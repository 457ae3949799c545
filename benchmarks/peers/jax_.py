"""JAX with optax: pure functions, `vmap` over tasks or runs, and `jit` of everything, data on the device.

Convolutions take images as [batch, height, width, channels]. A sweep of convolutional runs is one compiled
function that takes the runs one after another: `vmap` over weights makes grouped convolutions of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from benchmarks.peers.work import Entry, Images, Peer, Point, SineBatch, Training, Weights, one_run
from metalib.models.convnet import ConvNet
from metalib.models.layers import BATCH_NORM_EPS
from metalib.tasks.family import BLOCK

Params = dict[str, Array]


def sine_loss(phi: Params, x: Array, y: Array) -> Array:
    """Return the mean squared error of the network 1 → 64 → 64 → 1 with tanh."""
    hidden = x
    for layer in range(3):
        hidden = hidden @ phi[f"weight_{layer}"] + phi[f"bias_{layer}"]
        hidden = jnp.tanh(hidden) if layer < 2 else hidden
    return jnp.mean((hidden - y) ** 2)


def image_loss(phi: Params, images: Array, labels: Array, net: ConvNet) -> Array:
    """Return the summed cross-entropy of a convolutional network."""
    hidden = images
    stride = (1, 1) if net.pooling else (2, 2)
    for i in range(4):
        kernel = jnp.transpose(phi[f"conv_{i}"], (1, 2, 3, 0))
        layout = ("NHWC", "HWIO", "NHWC")
        hidden = lax.conv_general_dilated(hidden, kernel, stride, "SAME", dimension_numbers=layout)
        hidden = hidden + phi[f"bias_{i}"]
        mean, variance = hidden.mean((0, 1, 2)), hidden.var((0, 1, 2))
        hidden = (hidden - mean) * (phi[f"gamma_{i}"] * lax.rsqrt(variance + BATCH_NORM_EPS)) + phi[
            f"beta_{i}"
        ]
        if net.pooling:
            hidden = lax.reduce_window(hidden, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
        hidden = jax.nn.relu(hidden)
    logits = hidden.reshape(len(images), -1) @ phi["dense"] + phi["dense_bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()


def adapted(loss: Callable[..., Array], phi: Params, inputs: Array, targets: Array, alpha: float) -> Params:
    """Return the weights after one step of SGD on each minibatch."""
    optimizer = optax.sgd(alpha)
    state = optimizer.init(phi)
    for i in range(len(inputs)):
        updates, state = optimizer.update(jax.grad(loss)(phi, inputs[i], targets[i]), state)
        phi = optax.apply_updates(phi, updates)
    return phi


def maml_loss(loss: Callable[..., Array], phi: Params, inputs: Array, targets: Array, alpha: float) -> Array:
    """Return L_k(φ_k)."""
    return loss(adapted(loss, phi, inputs[:-1], targets[:-1], alpha), inputs[-1], targets[-1])


def minus(a: Params, b: Params, factor: float | Array = 1.0) -> Params:
    """Return a − factor · b."""
    return jax.tree.map(lambda x, y: x - factor * y, a, b)


def on_device(value: Any) -> Any:
    """Return arrays and weights as JAX holds them."""
    return jax.tree.map(jnp.asarray, value)


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Return a call of the compiled function that ends when its result is there."""
    jitted = jax.jit(function)
    return lambda: jax.block_until_ready(jitted(*arguments))


def shaped(result: list[Weights], like: Weights) -> list[Weights]:
    """Return weights in the shapes of others."""
    return [{name: np.asarray(run[name]).reshape(like[name].shape) for name in like} for run in result]


def maml(work: SineBatch) -> Entry:
    """Return the mean of MAML's gradients over the tasks."""
    of_tasks = jax.vmap(partial(maml_loss, sine_loss, alpha=work.alpha), in_axes=(None, 0, 0))
    meta_gradient = jax.grad(lambda phi, x, y: of_tasks(phi, x, y).mean())
    call = compiled(meta_gradient, *map(on_device, (work.phi, work.x, work.y)))
    return Entry(call, lambda found: shaped([found], work.phi))


def reptile(work: SineBatch) -> Entry:
    """Return the mean over tasks of φ_1 − φ_{k+1}."""
    of_tasks = jax.vmap(partial(adapted, sine_loss, alpha=work.alpha), in_axes=(None, 0, 0))

    def displacement(phi: Params, x: Array, y: Array) -> Params:
        return minus(phi, jax.tree.map(lambda ends: ends.mean(0), of_tasks(phi, x, y)))

    call = compiled(displacement, *map(on_device, (work.phi, work.x, work.y)))
    return Entry(call, lambda found: shaped([found], work.phi))


def omniglot(work: Images) -> Entry:
    """Return φ after an outer step of Reptile, one run after another in one compiled function."""
    loss = partial(image_loss, net=work.net)

    def step(phi: Params, images: Array, labels: Array) -> Params:
        return minus(phi, minus(phi, adapted(loss, phi, images, labels, work.alpha)), work.epsilon)

    def steps(runs: list[Params], images: Array, labels: Array) -> list[Params]:
        return [step(phi, images[r], labels[r]) for r, phi in enumerate(runs)]

    call = compiled(steps, *map(on_device, (work.phi, work.images, work.labels)))
    return Entry(call, lambda runs: shaped(runs, work.phi[0]))


def point_loss(work: Point) -> Callable[[Params, Array, Array], Array]:
    """Return the loss of a network."""
    return sine_loss if work.net is None else partial(image_loss, net=work.net)


def gradient(work: Point) -> Entry:
    """Return L'(φ)."""
    return Entry(
        compiled(jax.grad(point_loss(work)), *map(on_device, (work.phi, work.inputs, work.targets))),
        lambda result: shaped([result], work.phi),
    )


def hvp(work: Point) -> Entry:
    """Return L''(φ) v as the derivative of the gradient along v, forward over reverse."""
    g = jax.grad(point_loss(work))

    def product(phi: Params, v: Params, inputs: Array, targets: Array) -> Params:
        return jax.jvp(lambda phi: g(phi, inputs, targets), (phi,), (v,))[1]

    return Entry(
        compiled(product, *map(on_device, (work.phi, work.v, work.inputs, work.targets))),
        lambda result: shaped([result], work.phi),
    )


def training(work: Training) -> Entry:
    """Return the weights of all runs after training: a compiled scan over blocks, `vmap` over seeds."""
    seeds = sorted({config.seed for config in work.configs})
    configs = {config.algorithm: config for config in work.configs}
    like = one_run(work.family.initialize(0))
    starts = [one_run(work.family.initialize(seed)) for seed in seeds]
    stack = {name: jnp.stack([start[name] for start in starts]) for name in like}

    def displacement(method: str, phi: Params, x: Array, y: Array) -> Params:
        alpha = configs[method].alpha
        if method == "maml":
            g = jax.grad(partial(maml_loss, sine_loss, alpha=alpha))(phi, x, y)
            return jax.tree.map(lambda value: alpha * value, g)
        if method == "joint":
            return minus(phi, adapted(sine_loss, phi, x[:1], y[:1], alpha))
        if method == "fomaml":
            before = adapted(sine_loss, phi, x[:-1], y[:-1], alpha)
            return minus(before, adapted(sine_loss, before, x[-1:], y[-1:], alpha))
        return minus(phi, adapted(sine_loss, phi, x, y, alpha))

    def iteration(stacks: dict[str, Params], inputs: tuple[Any, ...]) -> tuple[dict[str, Params], None]:
        x, y, epsilons = inputs
        return {
            method: minus(phi, jax.vmap(partial(displacement, method))(phi, x, y), epsilons[method])
            for method, phi in stacks.items()
        }, None

    @jax.jit
    def train_block(stacks: dict[str, Params], x: Array, y: Array, epsilons: Any) -> dict[str, Params]:
        return lax.scan(iteration, stacks, (x, y, epsilons))[0]

    def call() -> dict[str, Params]:
        stacks = dict.fromkeys(configs, stack)
        for start in range(0, work.iterations, BLOCK):
            stop = min(start + BLOCK, work.iterations)
            k = work.configs[0].k
            arrays = [work.family.sample(seed, start // BLOCK, 1, k) for seed in seeds]
            x, y = (np.stack([one[name][: stop - start, 0] for one in arrays], 1) for name in ("x", "y"))
            epsilons = {
                method: np.array([config.epsilon_at(i) for i in range(start, stop)], x.dtype)
                for method, config in configs.items()
            }
            stacks = train_block(stacks, x, y, epsilons)
        return jax.block_until_ready(stacks)

    def found(stacks: dict[str, Params]) -> list[Weights]:
        # In the order of the configurations: what jit returns has its keys sorted.
        runs = [
            {name: value[r] for name, value in stacks[m].items()} for m in configs for r in range(len(seeds))
        ]
        return shaped(runs, like)

    return Entry(call, found)


PEER = Peer(
    "JAX",
    "jax",
    {
        "maml": maml,
        "reptile": reptile,
        "omniglot": omniglot,
        "gradient": gradient,
        "hvp": hvp,
        "training": training,
    },
    compiles=True,
    double=partial(jax.enable_x64, True),
)
