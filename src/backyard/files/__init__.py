"""Uploaded files and artifacts behind one URL: a local folder or an S3 bucket."""

from __future__ import annotations

from backyard.files.files import Files
from backyard.files.stored import StoredFile

__all__ = ["Files", "StoredFile"]
