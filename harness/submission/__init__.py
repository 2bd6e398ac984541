"""A submission: made, frozen, compared with its parent, checked and packed."""
