"""The cortex_m backend: int8 models as a C library and firmware for Arm Cortex-M."""
