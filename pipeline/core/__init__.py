"""Contracts every stage shares: records, configuration, tables, provenance, errors, progress."""
