"""Optional libraries: named before a job needs them, so that a missing one is a sentence and not a stack of frames."""

import importlib

from backyard.core.errors import MissingLibraryError

#: What people install, where it differs from what they import.
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def need(definition: str, *modules: str) -> None:
    """Import the libraries a definition stands on.

    A definition calls this first and only then imports its own heavy modules. The API therefore serves every
    definition wherever the libraries are, and the worker, which alone has to have them, reports the one it lacks.

    Args:
        definition: The definition's name, for the message.
        modules: Names of top-level modules, as they are imported.

    Raises:
        MissingLibraryError: One of them is not installed; the message says which and how to get it.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if (error.name or module).partition(".")[0] != module:
                raise  # the library is there, and one of its own needs is not: its message is the better one
            name = DISTRIBUTIONS.get(module, module)
            raise MissingLibraryError(
                f"{definition} needs {name}, which this worker does not have: pip install 'backyard[demo]'"
            ) from error
