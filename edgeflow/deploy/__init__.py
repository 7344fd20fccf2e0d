"""Deployment: artifacts onto a board, run there, measured there."""
