"""Knowing when it is good: what a watch looks at while an adapter is trained, and what it keeps."""
