"""The environment of a function's process: what func.yaml says, overlaid by what the platform knows."""

from __future__ import annotations

import os
from collections.abc import Mapping

from eventing import project
from eventing.local.config import Config
from eventing.local.resources import Function


def of_function(function: Function, platform: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The whole environment of a process of the function."""
    return {**of_all(platform, environ), **function.environ, **platform, "K_SERVICE": function.name}


def of_all(platform: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the environments of all functions' processes have in common."""
    return {**environ, "PYTHONUNBUFFERED": "1", **platform}


def of_platform(config: Config) -> dict[str, str]:
    """What every function is told of the platform it runs on."""
    told = {
        "TORPOR_INGRESS": f"http://127.0.0.1:{config.ports.platform}/{config.namespace}",
        "TORPOR_FUNCTIONS": f"http://127.0.0.1:{config.ports.platform}/functions/{{name}}",
        "TORPOR_STORE": config.store,
        "TORPOR_MODEL_URL": f"http://127.0.0.1:{config.ports.scheduler}/v1",
        "TORPOR_MODEL_KEY": "",  # the servers' keys are the scheduler's alone
        "TORPOR_SMTP": f"smtp://127.0.0.1:{config.ports.smtp}",
        "TORPOR_MAIL_FROM": "torpor@localhost",
        "TORPOR_PUBLIC_URL": f"http://localhost:{config.ports.gateway}",
        "PYTHONFAULTHANDLER": "1",  # a process that must be ended says where it was
    }
    if config.workflow:
        told["TORPOR_WORKFLOW"] = str(config.workflow)
    if project.is_checkout() and config.project != project.PACKAGE:
        told["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project.PACKAGE), os.environ.get("PYTHONPATH")]))
    return told | {f"TORPOR_SETTING_{name.upper()}": value for name, value in config.settings.items()}
