"""Celery's own integration suite, run on this project's transport and result backend."""
