"""Names of the files in a run's folder. Needs no torch."""

LAST = "last.safetensors"
BEST = "best.safetensors"
LOG = "log.jsonl"
