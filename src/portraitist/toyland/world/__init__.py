"""Toyland's world: who lives there, where, in which style, how it is painted and how a picture is described."""
