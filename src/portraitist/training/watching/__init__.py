"""Knowing when it is good: what a watch measures while an adapter is trained, and what it keeps."""
