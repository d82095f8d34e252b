"""Stage 3a: the model: networks by name, weights that cannot execute code, the classifier that runs them."""
