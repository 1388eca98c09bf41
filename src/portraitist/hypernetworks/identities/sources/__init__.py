"""Where identities come from: drawn worlds, and folders of photos."""
