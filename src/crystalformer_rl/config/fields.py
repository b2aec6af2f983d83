"""The parts of the sections: their base class and the types of values."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from crystalformer_rl.config.potentials import parse

NAME, LONGEST_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", 64

NULL = "null"

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
SpaceGroup = Annotated[int, Field(ge=1, le=230)]
TEMPERATURES = (1e-6, 1e6)
"""Beyond these, logits divided by T leave the range of float32."""
Temperature = Annotated[float, Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])]

_ELEMENTS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb
Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf
Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS = tuple(_ELEMENTS.split())
"""The 118 elements by atomic number, from 1."""


def _is_element(symbol: str) -> str:
    if symbol not in SYMBOLS:
        raise ValueError(f"unknown element {symbol!r}: give a symbol from H to Og")
    return symbol


def _is_name(text: Any) -> Any:
    """Explain the pattern in words; the pattern itself is kept for the schema.

    YAML reads 2026-11-28 as a date, whose text is the same. Numbers (1e3, 007) and words such as
    `no` have lost theirs.
    """
    if type(text) is datetime.date:
        return text.isoformat()
    if isinstance(text, (bool, int, float, datetime.datetime)):
        raise PydanticCustomError(
            "name",
            "a name is text, but YAML reads this as a number, a time, or true or false: put it in "
            "quotes",
        )
    if isinstance(text, str) and not (re.fullmatch(NAME[1:-1], text) and len(text) <= LONGEST_NAME):
        raise PydanticCustomError(
            "name",
            "a name becomes a folder: use at most 64 letters, digits, `_`, `.` and `-`, and begin "
            "with a letter or a digit",
        )
    return text


def _is_path(text: str) -> str:
    """Refuse what a command would read as an option and Snakemake as a wildcard."""
    if not text.strip() or text.startswith("-"):
        raise ValueError(f"invalid path {text!r}: it must not be empty or begin with `-`")
    if not text.isprintable() or {*text} & {*"{}"}:
        raise ValueError(f"invalid path {text!r}: no line breaks, control characters, {{ or }}")
    return text


def _is_potential(spec: str) -> str:
    """The default model of a potential is left out, so that both forms are the same setting."""
    info, model = parse(spec)
    if ":" in spec:
        _is_path(spec.partition(":")[2])
    return info.name if model == info.default else spec


@dataclass(frozen=True)
class Neutral:
    """Marks a key that was added later: with ``value`` a job does what it did without the key.

    :func:`crystalformer_rl.config.canonical` leaves out such a key while this is both its value
    and its default, so that what was finished before the key was added is not run again::

        noise: Annotated[float, Neutral(0.0)] = Field(default=0.0, description="…")
    """

    value: Any


Name = Annotated[str, BeforeValidator(_is_name), Field(pattern=NAME, max_length=LONGEST_NAME)]
"""Becomes a folder and part of commands: none of its characters is special to a shell."""
FilePath = Annotated[str, AfterValidator(_is_path)]
"""Quoted in every command, so spaces and quotes are allowed."""
ElementSymbol = Annotated[str, AfterValidator(_is_element)]
PotentialName = Annotated[str, AfterValidator(_is_potential)]


class Section(BaseModel):
    """A section of the configuration: immutable, unknown keys refused, numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_in_words(cls, value: Any) -> Any:
        """``snakemake --config`` passes values within braces as text, null too."""
        if not isinstance(value, Mapping):
            return value
        return {key: None if item == NULL else item for key, item in value.items()}

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any) -> Any:
        """Python takes true for 1, and YAML the words on and yes for true."""
        given = value.items() if isinstance(value, Mapping) else ()
        for key, item in given:
            field = cls.model_fields.get(str(key))
            kinds = _kinds(field.annotation) if field is not None else []
            if (int in kinds or float in kinds) and bool not in kinds and _has_truth(item):
                raise ValueError(f"{key} must be a number, but YAML reads it as true or false")
        return value


def _kinds(annotation: Any) -> list[Any]:
    """The types in an annotation, those of lists and mappings too; not those of sections."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    return [annotation, *(kind for inner in get_args(annotation) for kind in _kinds(inner))]


def _has_truth(value: Any) -> bool:
    match value:
        case bool():
            return True
        case list() | tuple():
            return any(map(_has_truth, value))
        case Mapping():
            return any(map(_has_truth, value.values()))
        case _:
            return False


def without_nulls(value: Any) -> Any:
    """A mapping without the keys that are null, which is how an overlay removes an entry."""
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if item not in (None, NULL)}
