"""Judges: what says whether an answer gives a preference back, applies it, or lets it show up where it must not."""
