"""Tests about the project's own files: the house rules, the documents, the ways to install and run it."""
