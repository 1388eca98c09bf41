"""Adapter files of every program: recognised, described, read for a base, converted, merged. One module a step."""
