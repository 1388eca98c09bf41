"""LoRAs as numbers to learn from: canonical form, layout as vectors, statistics, distances between changes."""
