"""Compression: jobs that retrain a model for the precision that a target wants."""
