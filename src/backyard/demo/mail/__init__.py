"""The mail job: composes a message and hands it to a mail server."""
