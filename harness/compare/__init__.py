"""Compare two scripts in pairs on one machine: who runs, in which order, at what cost, and what the times decide."""
