"""The fault suite: what it breaks, on real processes, and the judge of what must still hold."""
