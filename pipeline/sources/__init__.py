"""Conversation corpora: one file each, registered by name in `pipeline.sources.registry`."""
