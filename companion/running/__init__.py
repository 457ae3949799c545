"""The machinery that runs experiments: what one is, stacks of runs, workers, and what is kept on the way."""
