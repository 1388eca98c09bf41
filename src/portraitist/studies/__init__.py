"""Studies: a grid of runs from its file to its report; in the packages below, what is measured in other ways."""
