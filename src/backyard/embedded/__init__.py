"""The bundled Redis-compatible server, and the supervisor behind ``backyard up``."""
