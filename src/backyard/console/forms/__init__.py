"""Forms made from JSON schemas: what a definition takes, asked for field by field."""
