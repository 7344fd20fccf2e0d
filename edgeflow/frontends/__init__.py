"""Front ends: from a model file of any framework to a loaded model and its Network."""
