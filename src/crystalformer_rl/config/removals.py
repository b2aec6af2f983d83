"""Nulls of configuration files that are to remove an entry, and remove none."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from crystalformer_rl.config import Config, DatasetSettings

# Where null removes an entry, and the names that have a meaning though no file gives them.
_KNOWN = {
    "rl": tuple(Config().rl),
    "dataset.sources": ("train", "val", "test", "all", *DatasetSettings().sources),
}


def idle_removals(texts: Mapping[str, str]) -> list[str]:
    """Each null that removes no entry, with its file and what there is.

    Parameters
    ----------
    texts
        The configuration files of a run, by name. A text that is not YAML removes nothing: the
        loader reports it.

    >>> idle_removals({"config.yaml": "rl: {mine: {}}", "overlay.yaml": "rl: {min: null}"})
    ['overlay.yaml: rl.min: null removes nothing; there are ehull, fom, mine']
    """
    contents = {name: _content(text) for name, text in texts.items()}
    return [line for path, known in _KNOWN.items() for line in _idle(contents, path, known)]


def _content(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _idle(contents: Mapping[str, Any], path: str, known: tuple[str, ...]) -> Iterator[str]:
    sections = {name: _section(content, path) for name, content in contents.items()}
    given = {
        str(key)
        for section in sections.values()
        for key, value in section.items()
        if value is not None
    }
    there = sorted(given.union(known))
    for name, section in sections.items():
        for key, value in section.items():
            if value is None and str(key) not in there:
                listed = ", ".join(there)
                yield f"{name}: {path}.{key}: null removes nothing; there are {listed}"


def _section(content: Any, path: str) -> Mapping[Any, Any]:
    for key in path.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}
