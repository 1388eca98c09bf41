"""What a run will need, before anything is downloaded: memory, sizes, parameters."""
