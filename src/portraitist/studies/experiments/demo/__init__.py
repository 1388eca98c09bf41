"""The demo: a bundled subject taught, its pictures, a poster and a page."""
