"""What all HTML pages share: their templates, and pictures inside the page."""
