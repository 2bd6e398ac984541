"""Describe this computer and its GPUs: everything that a result may depend on."""
