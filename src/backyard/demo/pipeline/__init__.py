"""The pipeline job: orders in, clean orders and a summary out."""
