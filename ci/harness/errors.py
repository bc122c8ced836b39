"""The one exception that ends a run with a message instead of a traceback."""


class CannotJudge(Exception):
    """The run could not be made: exit code 125. Says what, where, what to do."""


class UsageError(Exception):
    """Wrong use of a command: exit code 1. Says what was wrong and what is right."""
