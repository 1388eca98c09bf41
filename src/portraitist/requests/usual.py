"""What is taken where a request does not say."""

DEFAULT_BASE = "toyland"
DEFAULT_TOKEN = "sks"
