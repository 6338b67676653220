"""The scenarios, by what they break; importing them registers them."""

from faults.rows import canvas, clock, doors, entries, keeper, main, network, pool, server, workers

__all__ = ["canvas", "clock", "doors", "entries", "keeper", "main", "network", "pool", "server", "workers"]
