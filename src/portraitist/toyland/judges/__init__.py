"""Toyland's judges: who reads and compares its pictures, trained on drawn ones alone."""
