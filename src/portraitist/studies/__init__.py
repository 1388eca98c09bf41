"""Studies: which runs a grid comes to, how they are made, what is reported; and experiments of other kinds.

Rooms, each importing only from those after it: `experiments`, `report`, `pages`, `runs`, `grid`, `makers`.
"""
