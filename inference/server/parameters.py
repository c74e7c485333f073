"""Single parameters of a request: each has the right type and is in its range, or the refusal names it."""

import math


class BadRequest(Exception):
    """A request that is refused with a 4xx. param: the parameter that is wrong."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None):
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code


def flag(body: dict, name: str, inside: str | None = None) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false", inside or name)
    return bool(value)


def whole(body: dict, name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    if value is not None and (type(value) is not int or not least <= value <= most):
        raise BadRequest(f"{name} must be a whole number from {least} to {most}", name)
    return value


def number(body: dict, name: str, least: float, most: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or not least <= value <= most or not math.isfinite(value):
        raise BadRequest(f"{name} must be a number from {least} to {most}", name)
    return float(value)


def text(body: dict, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name} must be a text", name)
    return value


def object_under(body: dict, name: str) -> dict | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"{name} must be an object", name)
    return value
