"""The door where time passes: what is done again and again for the whole yard, by one keeper at a time."""
