"""The distributed engine: Celery and kombu are spoken here, and only here."""
