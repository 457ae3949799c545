"""Where images come from: pools of classes, their sources, and the cache that keeps them."""
