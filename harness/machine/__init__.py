"""This computer and its GPUs: what a result may depend on."""
