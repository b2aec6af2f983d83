"""The syntax of CIF: data blocks with their tags and values, whatever the values mean.

Follows the grammar of CIF 1.1 (International Tables for Crystallography G, chapter 2.2), strict
where a crystal could be read wrongly and lenient in the text of tags that describe no crystal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# Tags that a crystal is read from; a fault in any other loop is not the crystal's.
_CRYSTAL = ("_atom_site_", "_cell_", "_symmetry_", "_space_group_", "_chemical_formula_sum")
_TOKEN = re.compile(
    r"""\s*(?:(?P<comment>\#.*)
    |'(?P<single>(?:[^']|'(?=\S))*)'(?=\s|$)
    |"(?P<double>(?:[^"]|"(?=\S))*)"(?=\s|$)
    |(?P<bare>\S+))""",
    re.VERBOSE,
)


@dataclass
class Block:
    """One data block.

    Attributes
    ----------
    name
        What follows ``data_``.
    values
        Values by tag. Tags are in lower case, and ``_`` replaces the ``.`` of dotted tags, so
        that both spellings of a tag are one. A tag outside a loop has one value.
    error
        What is wrong with the syntax, or None.
    """

    name: str
    values: dict[str, list[str]] = field(default_factory=dict)
    error: str | None = None

    def first(self, *tags: str) -> str | None:
        """Value of the first of the tags that has one, None if it is missing, ``.`` or ``?``."""
        return next(iter(self.all(*tags)), None)

    def all(self, *tags: str) -> tuple[str, ...]:
        """The first value of each of the tags, without missing ones, ``.`` and ``?``."""
        values = (self.values[tag][0].strip() for tag in tags if self.values.get(tag))
        return tuple(value for value in values if value not in {"", ".", "?"})

    @property
    def describes_a_crystal(self) -> bool:
        """Whether it has a cell or atoms."""
        return any(tag.startswith(("_cell_length", "_atom_site_fract")) for tag in self.values)


def read_blocks(text: str) -> list[Block]:
    """The data blocks of a CIF. A syntax error is noted in its block.

    Raises
    ------
    ValueError
        If there are no data blocks.
    """
    reader = _Reader()
    lines = iter(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")))
    for start in lines:
        line = start
        if start.startswith(";"):
            field_lines, last = _text_field(lines)
            if last is None:
                reader.fault("a text field (;) is not closed: is the file cut off?")
                break
            reader.value("\n".join([start[1:], *field_lines]))
            line = last[1:]
        for token in _TOKEN.finditer(line):
            if token["comment"] is not None:
                break
            if token["bare"] is None:
                reader.value(token["single"] if token["double"] is None else token["double"])
            elif token["bare"][0] in "'\"":
                reader.fault(f"a quotation mark is not closed: {line.strip()[:60]}")
                break
            else:
                reader.word(token["bare"])
    reader.end_loop()
    if not reader.blocks:
        start = " ".join(text.split())[:40]
        raise ValueError(f"not a CIF: there is no data_ block; the text starts with {start!r}")
    return reader.blocks


def _text_field(lines: Iterator[str]) -> tuple[list[str], str | None]:
    """The lines up to the one with the closing semicolon, and that one; None if there is none."""
    parts: list[str] = []
    for line in lines:
        if line.startswith(";"):
            return parts, line
        parts.append(line)
    return parts, None


class _Reader:
    """Puts the tokens into blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.tag: str | None = None
        self.filled = False
        self.looped: list[str] | None = None
        self.found: list[str] = []

    def fault(self, message: str) -> None:
        if self.blocks and self.blocks[-1].error is None:
            self.blocks[-1].error = message

    def word(self, word: str) -> None:
        """A token without quotation marks: a keyword, a tag or a value."""
        lower = word.lower()
        if lower.startswith("data_"):
            self.end_loop()
            self.blocks.append(Block(word[5:]))
        elif lower == "loop_":
            self.end_loop()
            self.looped = []
        elif lower == "global_" or lower.startswith("save_") or lower == "stop_":
            self.end_loop()
        elif word.startswith("_"):
            self._tag(lower.replace(".", "_"))
        else:
            self.value(word)

    def _tag(self, tag: str) -> None:
        if self.looped is None or self.found:
            self.end_loop()
            self.tag, self.filled = tag, False
        else:
            self.looped.append(tag)

    def value(self, value: str) -> None:
        if self.looped:
            self.found.append(value)
        elif self.tag is not None and self.blocks:
            if not self.filled:
                self._set(self.tag, [value])
            elif self.tag.startswith(_CRYSTAL):
                self.fault(f"{self.tag} has more than one value: {value[:40]!r}")
            self.filled = True
        else:
            self.fault(f"the value {value[:40]!r} belongs to no tag")

    def _set(self, tag: str, values: list[str]) -> None:
        block = self.blocks[-1]
        if tag in block.values and block.values[tag] != values:
            if tag.startswith(_CRYSTAL):
                self.fault(f"{tag} is given twice")
        else:
            block.values[tag] = values

    def end_loop(self) -> None:
        """Whether the next token is not a value of the loop."""
        tags, found, last = self.looped, self.found, self.tag
        self.looped, self.found, self.tag = None, [], None
        if not self.blocks:
            return
        if last is not None and not self.filled and last.startswith(_CRYSTAL):
            self.fault(f"{last} has no value")
        if not tags:
            return
        relevant = any(tag.startswith(_CRYSTAL) for tag in tags)
        if len(found) % len(tags) or not found:
            if relevant and not tags[0].startswith("_atom_site_aniso"):
                self.fault(
                    f"the loop of {tags[0]} has {len(found)} values for {len(tags)} columns: is "
                    "it cut off, or a value not quoted?"
                )
            return
        for place, tag in enumerate(tags):
            self._set(tag, found[place :: len(tags)])
