"""Training stages, one per command."""
