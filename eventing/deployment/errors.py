"""What keeps an image from being built or a function from being deployed; nothing was changed then."""

from eventing.errors import EventingError


class DeploymentError(EventingError):
    """The message says what is missing and how to mend it."""

    title = "Deployment impossible"
