"""Making runs: one run, where runs are made, who scores them, and what is kept of them."""
