"""`edgeflow inspect`."""

from __future__ import annotations

from edgeflow.cli.options import JsonOption, ModelArgument


def inspect(model: ModelArgument, json: JsonOption = False) -> None:
    """Print a model's layers: kind, shapes, parameters, MACs, bits, sparsity, and totals.

    With --json it prints a Network, which other commands accept in place of a model.
    """
    import json as json_module

    from edgeflow.cli.models import read_network

    network = read_network(model)
    if json:
        print(json_module.dumps(network.to_json(), indent=1))
        return
    from edgeflow.cli.tables import network_table

    network_table(network)
