"""What section 5.1 of the paper says, computed: expansions and expectations."""
