"""Personalization methods: each makes one patch a user. One file and one YAML a method."""
