"""The command line as ``python -m portraitist``."""

from portraitist.cli.main import app

app(prog_name="portraitist")
