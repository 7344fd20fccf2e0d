"""What `edgeflow inspect` shows of a Network: the rows of a table and its totals."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.network import Layer, Network


@dataclass(frozen=True)
class Row:
    """One layer as a line of text columns."""

    name: str
    kind: str
    shape: str
    parameters: str
    macs: str
    weight_bits: str
    activation_bits: str
    sparsity: str


HEADINGS = ("Layer", "Kind", "Output", "Parameters", "MACs", "W bits", "A bits", "Zeros")


def rows(network: Network) -> list[Row]:
    """One row per layer, in order."""
    return [_row(layer) for layer in network.layers]


def _row(layer: Layer) -> Row:
    kind = layer.kind
    if kind == "opaque":
        kind = f"opaque ({layer.attributes.get('type', '?')})"
    bits = layer.weight_bits
    return Row(
        name=layer.name,
        kind=kind,
        shape=" × ".join("?" if dim is None else str(dim) for dim in layer.output_shape)
        or "scalar",
        parameters=f"{layer.parameters:,}" if layer.parameters else "",
        macs=f"{layer.macs:,}" if layer.macs else "",
        weight_bits="" if bits is None else f"{bits:.3g}",
        activation_bits=f"{layer.activation_bits:.3g}",
        sparsity="" if layer.sparsity is None else f"{layer.sparsity:.1%}",
    )


def totals_text(network: Network) -> str:
    """The totals in one line."""
    totals = network.totals
    return (
        f"{totals.parameters:,} parameters, {totals.macs:,} MACs, "
        f"{totals.weight_bytes / 1024:,.1f} KiB of weights, "
        f"{totals.activation_bytes / 1024:,.1f} KiB of activations at the peak"
    )
