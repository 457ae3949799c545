"""metalib: first-order meta-learning, computed so that every formula can be checked.

Its parts build on one another. Each imports only from those above it in this list:

    errors          what goes wrong, said clearly
    revisions       which code decided numbers
    rng             random numbers keyed by seed and purpose
    params          algebra on weights
    memory          how much is done side by side
    derivatives     losses, gradients, Hessian-vector products
    models          networks as plain functions of (weights, inputs)
    optimizers      SGD, Adam, and what every optimizer declares
    inner           the inner loop and its Trajectory
    meta_gradients  Trajectory -> meta-gradient
    store           digests, arrays, and how files are written
    data            pools of classes and their images
    tasks           distributions of tasks
    theory          the expansions and expectations of section 5.1
    methods         MAML, FOMAML, Reptile, joint training: one entry each
    training        the outer loop
    evaluation      adapt and score

Five lines train an initialization on the embedded glyphs:

    from metalib.data.glyphs import glyphs
    from metalib.tasks.fewshot import FewShot
    from metalib.training import TrainingConfig, train

    config = TrainingConfig("reptile", alpha=0.001, epsilon=1.0, iterations=300, tasks=5, inner="adam")
    trained = train(FewShot(glyphs(), ways=5, shots=10, batch=10), [config])
"""

__version__ = "2.0.0"
