"""How the files of this folder were made: PyTorch 2.15, both of its exporters, random weights.

    python make.py FOLDER        (needs torch, onnx and onnxscript, which no toolchain has)

Names end in the exporter (``torchscript``, ``dynamo``) and ``batch`` where the batch is open. What
the exporters note of the sources is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn import functional


class Images(nn.Module):
    """Convolutions, batch norms, a depthwise one with stride, pooling, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
        self.deep_norm, self.wide = nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1)
        self.last = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = functional.relu6(self.deep_norm(self.deep(x)))
        x = functional.max_pool2d(torch.relu(self.wide(x)), 2)
        return self.last(torch.flatten(x, 1))


class Series(nn.Module):
    """LSTM and GRU, the last step of which is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.gru = nn.GRU(8, 6, batch_first=True)
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(self.lstm(x)[0])
        return torch.softmax(self.last(y[:, -1]), -1)


class Signals(nn.Module):
    """One-dimensional convolutions there and back, concatenation, padding, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.pool = nn.Conv1d(3, 8, 5, padding=2), nn.AvgPool1d(2)
        self.back = nn.ConvTranspose1d(8, 4, 4, stride=2, padding=1)
        self.last = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(functional.leaky_relu(self.there(x), 0.1))
        x = torch.cat([x, torch.tanh(x)], 1)[:, 4:12]
        return self.last(functional.pad(self.back(x), (1, 1)).mean(2))


def bare(path: Path) -> None:
    """Leave out what the exporter wrote of this machine."""
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:]
    for holder in (*model.graph.node, *model.graph.value_info, *model.graph.input,
                   *model.graph.output, *model.graph.initializer):  # fmt: skip
        del holder.metadata_props[:]
        holder.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
    path.write_bytes(model.SerializeToString(deterministic=True))


def main(folder: Path) -> None:
    """Write them all."""
    torch.manual_seed(0)
    for model, shape in ((Images(), (1, 8, 8)), (Series(), (12, 4)), (Signals(), (3, 16))):
        for _ in range(3):  # for the batch norms' statistics
            model(torch.randn(64, *shape))
        model.eval()
        name = type(model).__name__.lower()
        for exporter in ("torchscript", "dynamo"):
            opened = exporter == "dynamo" if name == "images" else exporter == "torchscript"
            new = exporter == "dynamo"
            how = {}
            if opened:
                how = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if new else {
                    "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}  # fmt: skip
            path = folder / f"{name}_{exporter}{'_batch' if opened else ''}.onnx"
            if new:
                how |= {"external_data": False, "verbose": False}
            torch.onnx.export(
                model, (torch.randn(2 if opened else 1, *shape),), path, dynamo=new,
                input_names=["x"], output_names=["y"], **how,
            )  # fmt: skip
            bare(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
