"""Commands on other machines: each task is one command in a checkout of its own, its evidence is taken in here."""
