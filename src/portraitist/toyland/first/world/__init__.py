"""Toyland's world: who lives there, where, in which style, and how a picture is described."""
