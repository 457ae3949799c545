"""metalib: first-order meta-learning, computed so that every formula can be checked.

The modules build on one another; each imports only from those above it in this list:

    errors          what goes wrong, said clearly
    params          algebra on weights
    derivatives     losses, gradients, Hessian-vector products
    models          networks as plain functions of (weights, inputs)
    convnets        the convolutional networks of section 6
    tasks           distributions of tasks
    inner           the inner loop and its Trajectory
    meta_gradients  Trajectory -> meta-gradient
    taylor          the expansions of section 5
    expectations    AvgGrad, AvgGradInner and E[g] over minibatch draws
    manifolds       solution manifolds and projections of section 5.2
    evaluation      adapt and score
    classification  few-shot adaptation and accuracy
    intervals       confidence intervals
    store           results, checkpoints and where they came from
    config          what defines a training run
    blocks          what a stack meets in a block of outer iterations
    outer           one outer step for a stack of runs
    checkpoints     unfinished training
    training        the outer loop
    experiments     one module per figure or table
    claims          paper, measured, verdict
    plotting        results -> figures
"""

__version__ = "1.0.0"
