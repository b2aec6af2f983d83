"""Published checkpoints: pickles of jax arrays, read without jax and without running their code.

A pickle may name only the functions that rebuild arrays and the record types of optimiser states.
Each such name is mapped to a function or class of this file; nothing is imported.
"""

import logging
import math
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.config.errors import explain
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import ELEMENTS, GROUPS, TOKENS_PER_SITE, rotary_order
from crystalformer_rl.signatures import explained_start, start_of

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]
_OPTIMISER_STATES = {
    ("optax._src.base", "EmptyState"),
    ("optax._src.transform", "ScaleByAdamState"),
    ("optax._src.transform", "ScaleByScheduleState"),
    ("optax._src.transform", "ScaleState"),
}
# Protocols 2 and later; the code writes 5.
_PICKLE = b"\x80"
_NUMBERS = ("f4", "f8", "i4", "i8", "u4", "u8")
_EMBEDDINGS = {
    "space_group.weight": "~/g_embeddings",
    "letter.weight": "~/w_embeddings",
    "element.weight": "~/a_embeddings",
    "position": "~/positional_embeddings",
}
_NORM = {"weight": "scale", "bias": "offset"}
_LINEAR = {"weight": "w", "bias": "b"}


def read_checkpoint(path: Path) -> Arrays:
    """Read the parameters of a published checkpoint by name, such as ``linear_7/w``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a pickle of arrays, is truncated, or names anything but array
        constructors (which is not called).
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    start = start_of(path)
    with Path(path).open("rb") as stream:
        try:
            content = _Unpickler(stream).load()
        except _ForbiddenError as error:
            raise ValueError(f"{path}: refused: {error}") from error
        # A damaged pickle can raise any exception; none of its code has run.
        except Exception as error:
            found = repr(error)
            if not start.startswith(_PICKLE):
                found = f"it is no pickle, but starts with {start[:20]!r}"
            reason = explained_start(start, found)
            raise ValueError(f"{path}: damaged or not a checkpoint: {reason}") from error
    parameters = content.get("params") if isinstance(content, dict) else None
    try:
        return dict(_flatten(parameters))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def infer_settings(
    parameters: Mapping[str, NDArray[Any]],
    *,
    heads: int | None = None,
    coordinate_modes: int | None = None,
    max_sites: int | None = None,
) -> ModelSettings:
    """Infer the size of the model from its parameters; the density is the published one.

    Shapes determine heads × key size only as a product, and neither the number of von Mises
    components nor, with rotary positions, the number of sites. Values that are not given default to
    those of every published model: key size four times the heads, 16 components, 21 sites. The log
    reports them as guesses.

    Dropout, which matters if the policy is trained further, is taken from the published model
    cards: 0.5 for the MP-20 model (learned positions), 0.1 for the others
    (github.com/deepmodeling/CrystalFormer, model/README.md).

    Raises
    ------
    ValueError
        If a parameter that determines a size is missing or has an impossible shape (the message
        names it), if the heads cannot be guessed, or if a given size does not fit.
    """

    def shape(name: str, *expected: int | None) -> tuple[int, ...]:
        if name not in parameters:
            raise ValueError(f"parameter {name} is missing")
        found = parameters[name].shape
        if len(found) != len(expected) or any(
            e not in (None, f) for e, f in zip(expected, found, strict=True)
        ):
            wanted = tuple("any" if e is None else e for e in expected)
            raise ValueError(f"parameter {name} has shape {found}, expected {wanted}")
        return tuple(found)

    (_, embedding) = shape("~/g_embeddings", GROUPS, None)
    (_, first_letter_hidden) = shape("linear/w", embedding, None)
    (_, width) = shape("linear_2/w", 2 * embedding + 1, None)
    (fourier, _) = shape("linear_4/w", None, width)
    (_, hidden) = shape("linear_7/w", width, None)
    (_, inner) = shape("multi_head_attention/query/w", width, None)
    layers = sum(name.endswith("/query/w") for name in parameters)
    (_, outputs) = shape(f"linear_{7 + 2 * layers}/w", width, None)
    if outputs <= ELEMENTS or (outputs - ELEMENTS) % 13:
        raise ValueError(
            f"parameter linear_{7 + 2 * layers}/w gives {outputs} outputs, expected {ELEMENTS} + "
            "13 × lattice components"
        )
    guesses = []
    if heads is None:
        heads = math.isqrt(inner // 4)
        if 4 * heads**2 != inner:
            raise ValueError(
                f"parameter multi_head_attention/query/w has {inner} columns (heads × key size), "
                f"from which the number of heads cannot be guessed: give --heads. (The key size of "
                f"published models is four times the heads; {inner} is not four times a square.)"
            )
        guesses.append(f"{heads} heads of {inner // heads} (--heads)")
    if heads < 1 or inner % heads:
        raise ValueError(
            f"parameter multi_head_attention/query/w has {inner} columns, not a multiple of "
            f"{heads} heads"
        )
    if coordinate_modes is None:
        coordinate_modes = 16
        guesses.append(f"{coordinate_modes} von Mises components (--coordinate-modes)")
    if 3 * coordinate_modes > outputs:
        raise ValueError(
            f"{coordinate_modes} von Mises components need {3 * coordinate_modes} outputs, and "
            f"parameter linear_{7 + 2 * layers}/w gives {outputs}"
        )
    learned = "~/positional_embeddings" in parameters
    if learned:
        (tokens, _) = shape("~/positional_embeddings", None, width)
        if tokens % TOKENS_PER_SITE or max_sites not in (None, tokens // TOKENS_PER_SITE):
            raise ValueError(
                f"parameter ~/positional_embeddings is for {tokens} tokens, expected "
                f"{TOKENS_PER_SITE} × {max_sites or 'sites'}"
            )
        max_sites = tokens // TOKENS_PER_SITE
    elif max_sites is None:
        max_sites = 21
        guesses.append(f"{max_sites} sites (--max-sites)")
    if guesses:
        log.warning("not stored in the file, so guessed: %s", ", ".join(guesses))
    return ModelSettings(
        layers=layers,
        heads=heads,
        key_size=inner // heads,
        width=width,
        embedding=embedding,
        first_letter_hidden=first_letter_hidden,
        widening=max(hidden // width, 1),
        frequencies=max((fourier - embedding) // 2, 1),
        coordinate_modes=coordinate_modes,
        lattice_modes=(outputs - ELEMENTS) // 13,
        max_sites=max_sites,
        positions="learned" if learned else "rotary",
        lattice_density="per_dimension",
        coordinate_density="published",
        dropout=0.5 if learned else 0.1,
    )


def import_policy(
    path: Path,
    *,
    heads: int | None = None,
    coordinate_modes: int | None = None,
    max_sites: int | None = None,
) -> Policy:
    """Load a published checkpoint as a policy; see :func:`infer_settings` for the options.

    Raises
    ------
    ValueError
        If the file cannot be read or a parameter does not fit; the message names it.
    """
    parameters = read_checkpoint(path)
    try:
        settings = infer_settings(
            parameters, heads=heads, coordinate_modes=coordinate_modes, max_sites=max_sites
        )
        policy = Policy(settings, metadata={"imported_from": Path(path).name})
        weights = _translate(parameters, policy)
    except ValidationError as error:
        sizes = explain(error, ModelSettings).replace("\n", "; ")
        raise ValueError(f"{path}: {sizes}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    policy.load_weights(weights, source=str(path))
    return policy


class _ForbiddenError(Exception):
    """The pickle names something other than an array constructor."""


class _Unpickler(pickle.Unpickler):
    """Rebuilds dictionaries, tuples and numeric arrays; rejects every other name."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("jax._src.array", "_reconstruct_array"): _jax_array,
            ("numpy._core.multiarray", "_reconstruct"): _Array,
            ("numpy.core.multiarray", "_reconstruct"): _Array,
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): _Type,
        }
        # A new subclass each time: a pickle may set attributes of the class it receives.
        if (module, name) in _OPTIMISER_STATES:
            return type(name, (_State,), {})
        if (module, name) not in known:
            raise _ForbiddenError(
                f"it names {module}.{name}; only arrays and optimiser states are read, and "
                "no code is run"
            )
        found = known[module, name]
        return type(name, (found,), {}) if isinstance(found, type) else found


class _Type:
    """Replaces numpy's dtype."""

    def __init__(self, code: str, *flags: Any) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Replaces an array that numpy would create empty and then fill."""

    def __init__(self, *arguments: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def read(self) -> NDArray[Any]:
        """The array; raises ``ValueError`` if the number of bytes does not fit the shape."""
        _, shape, kind, fortran, data = self.state
        if kind.code not in _NUMBERS:
            raise ValueError(f"has type {kind.code!r}, allowed are {', '.join(_NUMBERS)}")
        flat = np.frombuffer(data, dtype=np.dtype(kind.code).newbyteorder(kind.order))
        return flat.reshape(shape, order="F" if fortran else "C")


class _State(tuple[Any, ...]):
    """Replaces an optimiser's record, which is not read."""

    def __new__(cls, *fields: Any) -> "_State":
        return super().__new__(cls, fields)


def _jax_array(function: Any, arguments: Any, state: Any, aval: Any) -> _Array:
    del function, arguments, aval
    array = _Array()
    array.__setstate__(state)
    return array


def _flatten(parameters: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Names and arrays of a checkpoint's modules; ``ValueError`` names anything else."""
    for module, group in _items(parameters, "'params'"):
        for name, array in _items(group, f"parameter group {module}"):
            try:
                yield f"{module}/{name}", array.read()
            except (AttributeError, TypeError, ValueError) as error:
                raise ValueError(f"parameter {module}/{name} is not an array: {error}") from error


def _items(value: Any, name: str) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    raise ValueError(f"not a checkpoint: {name} is a {type(value).__name__}, not a dictionary")


def _translate(published: Mapping[str, NDArray[Any]], policy: Policy) -> Arrays:
    """The weights by the names of :class:`Transformer`.

    Raises
    ------
    ValueError
        If a published parameter is missing, unused or of another shape.
    """
    left, settings = dict(published), policy.settings
    turned = settings.positions == "rotary"
    order = rotary_order(settings.heads, settings.key_size)
    weights: Arrays = {}
    for name, tensor in policy.network.state_dict().items():
        sources = _published_names(name, settings.layers)
        expected = (tensor.shape[0] // len(sources), *tensor.shape[1:])
        parts = []
        for source in sources:
            if source not in left:
                raise ValueError(f"parameter {source} is missing")
            # Published linear layers are (inputs, outputs), torch layers (outputs, inputs).
            step = -1 if source.endswith("/w") else 1
            array = left.pop(source).astype(np.float32)
            if array.shape != expected[::step]:
                raise ValueError(
                    f"parameter {source} has shape {array.shape}; the other parameters imply "
                    f"{expected[::step]}"
                )
            array = array.T if step == -1 else array
            if turned and source.split("/")[-2] in ("query", "key"):
                array = array[order]
            parts.append(array)
        weights[name] = np.concatenate(parts)
    if left:
        raise ValueError(f"parameter {min(left)} is unknown to this model")
    return weights


def _published_names(name: str, layers: int) -> list[str]:
    """The published parameters that are concatenated into the network's ``name``."""
    if name in _EMBEDDINGS:
        return [_EMBEDDINGS[name]]
    *place, leaf = name.split(".")
    layer, block = (int(place[1]), place[2]) if place[0] == "blocks" else (0, "")
    attention = _numbered("multi_head_attention", layer)
    modules = {
        "first_letter_in": ["linear"],
        "first_letter_out": ["linear_1"],
        "letter_in": ["linear_2"],
        "element_in": ["linear_3"],
        **{f"coordinate_in.{axis}": [f"linear_{4 + axis}"] for axis in range(3)},
        "attention_norm": [_numbered("layer_norm", 2 * layer)],
        "query_key_value": [f"{attention}/{part}" for part in ("query", "key", "value")],
        "attention_out": [f"{attention}/linear"],
        "mlp_norm": [f"layer_norm_{2 * layer + 1}"],
        "mlp_in": [f"linear_{7 + 2 * layer}"],
        "mlp_out": [f"linear_{8 + 2 * layer}"],
        "norm": [f"layer_norm_{2 * layers}"],
        "out": [f"linear_{7 + 2 * layers}"],
    }
    module = block or ".".join(place)
    kind = _NORM if module.endswith("norm") else _LINEAR
    return [f"{published}/{kind[leaf]}" for published in modules[module]]


def _numbered(name: str, index: int) -> str:
    return name if index == 0 else f"{name}_{index}"
