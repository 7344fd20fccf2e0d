"""The TFLite backend: files for Linux boards and for the compilers that start from TFLite."""
