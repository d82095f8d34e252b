"""Where the loop over studies runs."""
