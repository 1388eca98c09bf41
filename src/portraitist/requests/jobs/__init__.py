"""Requests carried out: opened with what they need, planned, run, and told of."""
