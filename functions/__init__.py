"""One folder per agent; an agent decides, it never connects.

Forbidden here: importing another agent; reading the environment and opening connections, which functions/main.py does once.
A project's own `functions/` folder (without an __init__.py) lies under the same name and before this one.
"""

from os.path import exists
from pkgutil import extend_path

__path__ = [*(path for path in extend_path(list[str](), __name__) if not exists(f"{path}/__init__.py")), *__path__]
