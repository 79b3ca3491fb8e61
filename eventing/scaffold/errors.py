"""Why nothing new was made."""

from eventing.errors import EventingError


class ScaffoldError(EventingError):
    title = "Nothing was made"
