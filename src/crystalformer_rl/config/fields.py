"""What the sections are made of: base class, kinds of values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

NAME, LONGEST_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", 64

NULL = "null"
DEFAULT_MODELS = {"sevennet": "7net-0"}
"""What a potential's bare name stands for."""

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
SpaceGroup = Annotated[int, Field(ge=1, le=230)]
TEMPERATURES = (1e-6, 1e6)
"""Beyond these logits over T leave the numbers of float32."""
Temperature = Annotated[float, Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])]
POTENTIALS = {
    "chgnet": "chgnet",
    "sevennet": "sevennet or sevennet:MODEL",
    "orb": "orb:MODEL_OR_PATH",
    "matgl": "matgl:FOLDER_OR_NAME",
    "nequix": "nequix:PATH",
    "mace": "mace:PATH",
}
"""How each potential is named in the settings."""

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
        raise ValueError(f"{symbol!r} is no element: give a symbol from H to Og")
    return symbol


def _is_name(text: Any) -> Any:
    """Say in words what the pattern means, which is kept for the schema."""
    if isinstance(text, str) and not (re.fullmatch(NAME[1:-1], text) and len(text) <= LONGEST_NAME):
        raise PydanticCustomError(
            "name",
            "a name is that of a folder: at most 64 letters, digits, `_`, `.` and `-`, the first "
            "one a letter or a digit",
        )
    return text


def _is_path(text: str) -> str:
    """Refuse what a command would take for an option and Snakemake for a wildcard."""
    if not text.strip() or text.startswith("-"):
        raise ValueError(f"{text!r} is no path: it must not be empty or begin with `-`")
    if not text.isprintable() or {*text} & {*"{}"}:
        raise ValueError(f"{text!r} is no path: line breaks, control characters, {{ and }} are out")
    return text


def _is_potential(spec: str) -> str:
    name, colon, model = spec.partition(":")
    forms = POTENTIALS.get(name, "").split(" or ")
    known = name in POTENTIALS and (":" in forms[-1] and model.strip() if colon else name in forms)
    if not known:
        raise ValueError(f"{spec!r} is no potential: allowed are {', '.join(POTENTIALS.values())}")
    if colon:
        _is_path(model)
    return name if model == DEFAULT_MODELS.get(name) else spec


@dataclass(frozen=True)
class Neutral:
    """Marks a key that was added later: with ``value`` a job does what it did without the key.

    :func:`crystalformer_rl.config.canonical` leaves out such a key while this is both its value
    and its default, so that what was finished before the key was added is not run again::

        noise: Annotated[float, Neutral(0.0)] = Field(default=0.0, description="…")
    """

    value: Any


Name = Annotated[str, BeforeValidator(_is_name), Field(pattern=NAME, max_length=LONGEST_NAME)]
"""Becomes a folder and a part of commands: nothing in it means anything to a shell."""
FilePath = Annotated[str, AfterValidator(_is_path)]
"""Quoted wherever it stands in a command, so spaces and quotes are allowed."""
ElementSymbol = Annotated[str, AfterValidator(_is_element)]
PotentialName = Annotated[str, AfterValidator(_is_potential)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_in_words(cls, value: Any) -> Any:
        """Within braces ``snakemake --config`` hands every value over as text, null too."""
        if not isinstance(value, Mapping):
            return value
        return {key: None if part == NULL else part for key, part in value.items()}


def without_nulls(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: part for key, part in value.items() if part not in (None, NULL)}
