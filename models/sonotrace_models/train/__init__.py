"""Training stages, one command each."""
