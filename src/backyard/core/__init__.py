"""Words and rules: models, states, definitions, errors. No I/O, no clock, imports nothing above."""
