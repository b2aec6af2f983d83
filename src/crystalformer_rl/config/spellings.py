"""Mistakes in the text of a configuration file that its values no longer show."""

import re
from collections.abc import Iterator

import yaml

# YAML 1.1 reads 010 as 8 and 1:30 as 90.
_ODD_NUMBER = re.compile(r"[+-]?(?:0[0-7_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)")
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def mistakes(text: str) -> list[str]:
    """Each repeated key, and each number that YAML reads as another one, with its lines.

    The loader would silently keep the last of repeated keys. The values of such a key are not
    looked into. A text that is not YAML has no mistakes here: the loader reports it.

    >>> mistakes("rl: {fom: {}}\\nseed: 1\\nseed: 2\\n")
    ['seed: given twice, in lines 2 and 3']
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return []
    return [] if root is None else list(_mistakes(root, ""))


def _mistakes(node: yaml.Node, path: str) -> Iterator[str]:
    match node:
        case yaml.ScalarNode():
            yield from _odd_number(node, path.removesuffix("."))
        case yaml.SequenceNode():
            for place, item in enumerate(node.value):
                yield from _mistakes(item, f"{path}{place}.")
        case yaml.MappingNode():
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    yield f"{path}{name}: given twice, in lines {lines[name]} and {line}"
                    continue
                lines[name] = line
                yield from _mistakes(value, f"{path}{name}.")


def _odd_number(node: yaml.ScalarNode, path: str) -> Iterator[str]:
    if node.tag in _NUMBERS and _ODD_NUMBER.fullmatch(node.value):
        number = yaml.safe_load(node.value)
        line = node.start_mark.line + 1
        yield (
            f"{path}: YAML reads {node.value} in line {line} as {number}: put it in quotes, or "
            "write the number that you mean"
        )
