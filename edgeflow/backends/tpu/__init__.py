"""The TPU backend: StableHLO graphs for Cloud TPUs, compiled ahead of time."""
