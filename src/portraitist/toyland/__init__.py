"""Toyland: the small text-to-image model that ships with the package, and how it is made."""
