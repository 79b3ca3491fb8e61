"""What keeps the local platform from running; each message says what is wrong and what to do.

LocalPlatformError
  DownloadError      something that a first start needs could not be fetched
  ServiceError       a service did not start, or what answers on its port is somebody else's
  PreflightError     this machine lacks something, found before anything was started
  ManifestError      a resource or a func.yaml cannot be honoured
"""


class LocalPlatformError(Exception):
    """Root of the local platform's errors."""


class DownloadError(LocalPlatformError):
    pass


class ServiceError(LocalPlatformError):
    pass


class PreflightError(LocalPlatformError):
    """Carries every problem found; its text is one a line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ManifestError(LocalPlatformError):
    pass
