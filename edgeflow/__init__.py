"""edgeflow: from a trained neural network to FPGAs, edge devices and TPUs, verified."""

__version__ = "0.1.0"
