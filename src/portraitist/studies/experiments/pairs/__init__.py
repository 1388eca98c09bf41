"""Two subjects in one picture: taught in several ways, judged, reported."""
