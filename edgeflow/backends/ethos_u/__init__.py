"""The ethos_u backend: int8 .tflite files compiled for Arm Ethos-U NPUs by Vela."""
