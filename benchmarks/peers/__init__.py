"""metalib beside other libraries, on the same work: `python -m benchmarks.peers`, or `make benchmarks`.

One file per library, written as its users would write it, all with one interface (`work.Peer`):

    work           what is to be done, and what it costs at the least
    costs          what it costs at the least
    torch_modules  the networks as `torch.nn` modules
    loops          loops over tasks and runs, for the libraries that take one at a time
    plain          plain PyTorch
    higher_        higher
    torchopt_      TorchOpt
    torch_func     torch.func with vmap
    jax_           JAX with optax
    metalib_       metalib
    floor          the matrix products and convolutions alone
    timing         agreement first, then processor time in random order
"""
