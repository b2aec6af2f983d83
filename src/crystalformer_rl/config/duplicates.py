"""Keys that a YAML file gives twice, of which the loader would silently keep the last."""

from collections.abc import Iterator

import yaml


def repeated_keys(text: str) -> list[str]:
    """Each repeated key of a YAML or JSON text, with the lines where it is given.

    The values of a repeated key are not looked into. A text that is not YAML has no keys: the
    loader reports it.

    >>> repeated_keys("rl: {fom: {}}\\nseed: 1\\nseed: 2\\n")
    ['seed: given twice, in lines 2 and 3']
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return []
    return [] if root is None else list(_repeated(root, ""))


def _repeated(node: yaml.Node, path: str) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield from _repeated(item, f"{path}{place}.")
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            yield f"{path}{name}: given twice, in lines {lines[name]} and {line}"
            continue
        lines[name] = line
        yield from _repeated(value, f"{path}{name}.")
