"""Estimates: what a model costs on a target, each figure with its method, source and band."""

from edgeflow.estimate.quantity import Estimate, unknown

__all__ = ["Estimate", "unknown"]
