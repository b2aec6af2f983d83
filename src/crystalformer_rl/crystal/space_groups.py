"""Space groups as CIFs declare them: symbols, numbers and settings.

A symbol may leave the setting open: ``F d -3 m`` has two origins, ``R -3 m`` two kinds of axes.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import spglib

# Centred monoclinic groups have short symbols with the unique axis left out.
_MONOCLINIC = range(3, 16)
# The Inorganic Crystal Structure Database writes origins and axes after the symbol.
_CHOICES = {"s": "1", "z": "2", "o1": "1", "o2": "2", "hr": "h"}
_SUFFIX = re.compile(r"^(?P<symbol>.*?)(?:\s*:\s*(?P<choice>\S+)|\s+(?P<letter>S|Z|H|R|HR))$", re.I)


@dataclass(frozen=True)
class Setting:
    """One of the 530 settings of spglib: its Hall number, space group and choice (``"2"``)."""

    hall_number: int
    space_group: int
    choice: str

    @property
    def standard(self) -> bool:
        """Whether a bare number means it: unique axis b, first cell choice, either origin."""
        return self.choice in {"", "b", "b1", "1", "2", "H", "R"}


@dataclass(frozen=True)
class Declared:
    """The space group that a CIF declares. There are several tags for each of the names.

    Attributes
    ----------
    symbols
        Hermann–Mauguin symbols, perhaps with a setting.
    numbers
        1–230, as text.
    halls
        Hall symbols.
    choice
        Setting, if it has its own tag.
    """

    symbols: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    halls: tuple[str, ...] = ()
    choice: str | None = None

    def __str__(self) -> str:
        names = (
            *(repr(symbol) for symbol in self.symbols),
            *(f"number {number}" for number in self.numbers),
            *self.halls,
        )
        return ", ".join(dict.fromkeys(names))

    def settings(self, *, any_symbol: bool = False) -> list[Setting]:
        """The settings that agree with all that is declared, [] if nothing is declared.

        Parameters
        ----------
        any_symbol
            Leave unknown symbols out of account, instead of raising an error: there are more
            settings than symbols known here.

        Raises
        ------
        ValueError
            If a name is unknown, or the names contradict each other.
        """
        named = []
        for symbol, of_symbol in (
            *((symbol, self._of_symbol) for symbol in self.symbols),
            *((symbol, _of_hall) for symbol in self.halls),
        ):
            try:
                named.append(of_symbol(symbol))
            except ValueError:
                if not any_symbol:
                    raise
        found: list[Setting] | None = None
        for settings in (*named, *map(_of_number, self.numbers)):
            both = settings if found is None else [one for one in found if one in settings]
            if not both and found is not None:
                groups = sorted({one.space_group for one in (*found, *settings)})
                raise ValueError(
                    f"the declared space groups contradict each other: {self} (groups {groups})"
                )
            found = both
        if found and not self.symbols and not self.halls:
            found = [one for one in found if one.standard]
        return found or []

    def _of_symbol(self, symbol: str) -> list[Setting]:
        known, choice = _by_symbol(), (self.choice or "").lower()
        found = known.get(_plain(symbol))
        if found is None and (match := _SUFFIX.match(symbol.strip())):
            found = known.get(_plain(match["symbol"]))
            choice = (match["choice"] or match["letter"]).lower()
        if found is None:
            raise ValueError(f"unknown space group symbol {symbol!r}")
        choice = _CHOICES.get(choice, choice)
        if not choice:
            return found
        exact = [one for one in found if one.choice.lower() == choice]
        chosen = exact or [
            one for one in found if choice in {"1", "2"} and one.choice[:1] == choice
        ]
        if not chosen and any(one.choice for one in found):
            raise ValueError(f"space group symbol {symbol!r}: unknown setting {choice!r}")
        return chosen or found


def _of_number(number: str) -> list[Setting]:
    if not (number.isdecimal() and 1 <= int(number) <= 230):
        raise ValueError(f"space group number {number!r}: must be 1 to 230")
    return [one for one in _settings() if one.space_group == int(number)]


def _of_hall(symbol: str) -> list[Setting]:
    found = _by_hall().get(_plain_hall(symbol))
    if found is None:
        raise ValueError(f"unknown Hall symbol {symbol!r}")
    return found


def _plain(symbol: str) -> str:
    return re.sub(r"[\s_()]", "", symbol).lower()


def _plain_hall(symbol: str) -> str:
    return re.sub(r"[\s_]+", " ", symbol.strip().replace("''", '"')).lower()


@cache
def _settings() -> tuple[Setting, ...]:
    types = (spglib.get_spacegroup_type(number) for number in range(1, 531))
    return tuple(
        Setting(place, int(kind.number), str(kind.choice)) for place, kind in enumerate(types, 1)
    )


@cache
def _by_hall() -> dict[str, list[Setting]]:
    found: dict[str, list[Setting]] = defaultdict(list)
    for one in _settings():
        found[_plain_hall(spglib.get_spacegroup_type(one.hall_number).hall_symbol)].append(one)
    return dict(found)


@cache
def _by_symbol() -> dict[str, list[Setting]]:
    """Settings by symbol without spaces, in lower case; of aliases, names of ITA come first."""
    names: dict[str, list[Setting]] = defaultdict(list)
    aliases: dict[str, list[Setting]] = defaultdict(list)
    for one in _settings():
        kind = spglib.get_spacegroup_type(one.hall_number)
        full, parts = str(kind.international_full), str(kind.international).split("=")[0].split()
        own = {_plain(full)}
        if one.space_group in _MONOCLINIC:
            own.add(_plain("".join(part for part in full.split() if part != "1")))
        else:
            own |= {_plain("".join(parts)), _plain(str(kind.international_short))}
        for name in own:
            names[name].append(one)
        if one.space_group >= 200:
            # Before 1983 the inversion of the threefold axis was left out: F d 3 m.
            aliases[_plain("".join(parts)).replace("-3", "3")].append(one)
        for place, part in enumerate(parts[1:], 1):
            if part == "e":
                # Before 1992 the double glide plane had the letter of one of its two glides.
                for letter in set("abc") - {"abc"[place - 1]}:
                    aliases[_plain("".join([*parts[:place], letter, *parts[place + 1 :]]))].append(
                        one
                    )
    return {**aliases, **names}
