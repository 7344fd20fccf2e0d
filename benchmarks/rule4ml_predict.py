"""What rule4ml predicts for designs: runs in an environment with rule4ml 0.2.0, called by
`rule4ml.py`.

Run: python -I rule4ml_predict.py DESIGNS.json PREDICTIONS.json
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

NAMES = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "BRAM": "bram_18k", "CYCLES": "latency",
         "INTERVAL": "interval"}  # fmt: skip


def model_of(layers, keras):
    """The design as a Keras model: what rule4ml reads."""
    made = []
    for layer in layers:
        kind, own = layer["kind"], layer
        if kind == "input":
            made.append(keras.layers.Input(tuple(own["output"])))
        elif kind == "dense":
            made.append(keras.layers.Dense(own["output"][-1]))
        elif kind in ("conv1d", "conv2d"):
            build = keras.layers.Conv1D if kind == "conv1d" else keras.layers.Conv2D
            made.append(
                build(own["output"][-1], tuple(own["window"]), own["strides"], own["padding"])
            )
        elif kind == "batch_norm":
            made.append(keras.layers.BatchNormalization())
        elif kind == "flatten":
            made.append(keras.layers.Flatten())
        elif kind in ("max_pool2d", "avg_pool2d", "max_pool1d", "avg_pool1d"):
            name = ("Max" if "max" in kind else "Average") + f"Pooling{kind[-2].upper()}D"
            made.append(getattr(keras.layers, name)(own["pool_size"]))
        elif kind in ("relu", "sigmoid", "tanh", "softmax"):
            made.append(keras.layers.Activation(kind))
        else:
            return None
    return keras.Sequential(made)


def features_of(model, design):
    """What rule4ml's estimators read of a design: its own parsers', once for all of them."""
    from rule4ml.parsers.data_parser import get_global_inputs, get_layers_data
    from rule4ml.parsers.network_parser import config_from_keras_model
    from rule4ml.parsers.utils import camel_keys_to_snake

    config = camel_keys_to_snake(
        {
            "model": {
                "strategy": design["strategy"],
                "precision": design["precision"],
                "reuse_factor": design["reuse_factor"],
            },
            "board": design["board"],
        }
    )
    parsed = config_from_keras_model(model, config)
    versions = {"hls4ml_version": design["hls4ml"], "vivado_version": design["vivado"]}
    return get_global_inputs(parsed, config, **versions), get_layers_data(parsed)


def main() -> None:
    """Predict every design that rule4ml can take, each alone: its GNN normalises over a batch."""
    import keras
    from rule4ml.models.wrappers import MultiModelWrapper
    from rule4ml.parsers.data_parser import to_dataframe

    wrapper = MultiModelWrapper()
    wrapper.load_default_models()
    models, found = {}, []
    for design in json.loads(Path(sys.argv[1]).read_text()):
        key = json.dumps(design["layers"])
        try:
            if key not in models:
                models[key] = model_of(design["layers"], keras)
            if models[key] is None:
                raise AttributeError
            whole, layers = features_of(models[key], design)
        except (AttributeError, TypeError, ValueError):  # what it has no form for
            models[key] = None
            found.append(None)
            continue
        row = {}
        for name, estimator in wrapper._models.items():
            table = to_dataframe(
                global_inputs=[whole],
                sequential_inputs=[layers],
                global_categorical_maps=estimator.global_categorical_maps,
                sequential_categorical_maps=estimator.sequential_categorical_maps,
                meta_data=[],
                targets=[],
            )
            row[NAMES[name]] = float(estimator.predict_from_df(table)[0][0])
        found.append(row)
        if len(found) % 50 == 0:
            print(len(found), "designs", file=sys.stderr, flush=True)
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
