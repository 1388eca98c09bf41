"""What is asked of the package, as values that every door shares: the command line, a server, a page.

A request is plain data, JSON-able both ways, and says without a model what is wrong with it. `jobs` carries it out.
"""
