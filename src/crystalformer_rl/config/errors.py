"""Validation errors in the words of the person who wrote the settings."""

import difflib
import json
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Settings = TypeVar("Settings", bound=BaseModel)


def validated(model: type[Settings], raw: Mapping[str, Any]) -> Settings:
    """The settings that ``raw`` gives.

    Raises
    ------
    ValueError
        If a key is unknown or a value not allowed, in the words of :func:`explain`.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ValueError(explain(error, model)) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One line per mistake: the path of the key, the value found and what is allowed.

    Parameters
    ----------
    error
        What pydantic raised.
    model
        The model that was being validated; used to list the allowed keys next to an unknown one.
    """
    return "\n".join(_line(item, model) for item in error.errors(include_url=False))


def _line(item: ErrorDetails, model: type[BaseModel]) -> str:
    keys, parent = _locate(item["loc"], model)
    path = ".".join(keys)
    message = item["msg"].removeprefix("Value error, ")
    match item["type"]:
        case "extra_forbidden":
            known = list(parent.model_fields) if parent is not None else []
            guess = difflib.get_close_matches(keys[-1], known, n=1)
            hint = f" (did you mean {guess[0]}?)" if guess else ""
            return f"{path}: unknown key{hint}; allowed here: {', '.join(known)}"
        case "value_error":
            return f"{path}: {message}" if path else message
        case "missing":
            return f"{path}: missing"
        case "union_tag_invalid":
            context = item["ctx"]
            allowed = context["expected_tags"].replace("'", "")
            return f"{path}: unknown kind {context['tag']!r}; allowed are {allowed}"
        case "json_invalid":
            return f"not JSON: {message.removeprefix('Invalid JSON: ')}"
        case _:
            found = json.dumps(item["input"], default=str)
            value = f"{path} = {found[:80]}" if path else found[:80]
            return f"{value}: {message[0].lower()}{message[1:]}"


def _locate(
    location: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[list[str], type[BaseModel] | None]:
    """The keys as written in the file, and the model to which the last one belongs.

    pydantic puts the tag of a discriminated union and the mark ``[key]`` of a bad dictionary key
    into the location; neither is written in the file.
    """
    keys: list[str] = []
    kind: Any = model
    parent: type[BaseModel] | None = None
    for part in location:
        choices = _choices(kind)
        tagged = [choice for choice in choices if len(choices) > 1 and _tag(choice) == part]
        if tagged:
            kind = tagged[0]
            continue
        if part == "[key]":
            continue
        keys.append(str(part))
        kind = choices[0]
        parent = kind if _is_model(kind) else None
        if parent is not None:
            field = parent.model_fields.get(str(part))
            kind = field.annotation if field is not None else None
        else:
            kind = (get_args(kind) or (None,))[-1]
    return keys, parent


def _choices(kind: Any) -> list[Any]:
    """The members of a union without None, or the type alone; ``Annotated`` is looked through."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _choices(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [member for member in get_args(kind) if member is not type(None)]
    return [kind]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tag(kind: Any) -> Any:
    if not _is_model(kind) or "kind" not in kind.model_fields:
        return None
    return kind.model_fields["kind"].default
