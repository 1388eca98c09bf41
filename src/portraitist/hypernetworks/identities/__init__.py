"""Sets of identities: photos of many subjects with everything a network that predicts adapters learns from."""
