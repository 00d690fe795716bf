"""Errors that a user of the tools can cause and mend."""


class UserError(Exception):
    """A mistake of the user: the message is one or two lines that say what was wrong and what is right.

    The launcher prints it as ``tickgate: error: ...`` and exits with status 2; no traceback is shown.
    """
