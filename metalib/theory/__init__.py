"""What section 5 of the paper says, computed: expansions, expectations, solution manifolds."""
