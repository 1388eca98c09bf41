"""From photos to adapters in one pass: sets of identities, and the networks that learn from them."""
