"""The training loop: steps, checkpoints, resuming, optimisers, logs; it does not know what it trains."""
