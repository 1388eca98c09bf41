"""The networks: photos' features to memory, memory to a token for each layer, tokens to an adapter's numbers."""
