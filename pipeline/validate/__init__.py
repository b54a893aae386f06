"""Drafts to the released records: structure, semantic rules, difficulty, splits."""
