"""The edge_tpu backend: int8 .tflite files for Google Coral's Edge TPU."""
