"""Backends: one folder per compiler."""
