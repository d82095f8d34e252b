"""The planted-fault bench: every check on studies with a known fault and on clean ones, with the error rates it has."""
