"""Protocols over several runs, and their reports."""
