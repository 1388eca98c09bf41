"""Several subjects in one adapter: taught together, with collages and the Unmix loss."""
