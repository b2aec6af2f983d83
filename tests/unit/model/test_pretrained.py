"""Published checkpoints, and files that are none."""

import os
import pickle
import sys
import types
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.pretrained import import_policy, infer_settings, read_checkpoint

Arrays = dict[str, NDArray[Any]]


def nested(arrays: Arrays) -> dict[str, dict[str, NDArray[Any]]]:
    modules: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        module, _, leaf = name.rpartition("/")
        modules.setdefault(module, {})[leaf] = array
    return modules


def write(path: Path, arrays: Arrays) -> Path:
    """As the published code does, but with numpy arrays."""
    path.write_bytes(pickle.dumps({"params": nested(arrays), "opt_state": ()}))
    return path


def test_settings_come_from_the_shapes(checkpoint: Path) -> None:
    assert infer_settings(read_checkpoint(checkpoint)) == ModelSettings(
        layers=2,
        heads=4,
        key_size=16,
        width=32,
        embedding=16,
        first_letter_hidden=64,
        lattice_density="per_dimension",
        coordinate_density="published",
        dropout=0.1,
    )


def test_what_is_guessed_is_said(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    parameters = read_checkpoint(checkpoint)
    infer_settings(parameters)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "4 heads of 16 (--heads), 16 von Mises components (--coor" in record.getMessage()
    assert "21 sites (--max-sites)" in record.getMessage()
    infer_settings(parameters, heads=4, coordinate_modes=16, max_sites=21)
    assert len(caplog.records) == 1


def test_plain_numpy_and_learned_positions(checkpoint: Path, tmp_path: Path) -> None:
    arrays = read_checkpoint(checkpoint)
    learned = np.random.default_rng(0).normal(size=(105, 32)).astype(np.float32)
    path = write(tmp_path / "learned.pkl", arrays | {"~/positional_embeddings": learned})
    policy = import_policy(path)
    assert policy.settings.positions == "learned"
    assert policy.settings.dropout == 0.5
    assert policy.num_parameters == 53175 + 105 * 32
    np.testing.assert_array_equal(policy.network.position.detach().numpy(), learned)


def test_imported_policy_is_saved_and_sampled(checkpoint: Path, tmp_path: Path) -> None:
    policy = import_policy(checkpoint)
    policy.save(tmp_path)
    samples = Policy.load(tmp_path).sample([1, 225], seed=0)
    assert len(samples.tokens) == 2


class Runs:
    """A pickle of this calls a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "posix.system"), (eval, "builtins.eval"), (np.load, "numpy.load")],
)
def test_code_is_refused_by_name_and_not_run(
    tmp_path: Path, function: Callable[..., Any], name: str
) -> None:
    mark = tmp_path / "mark"
    argument = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"params": Runs(function, argument)}))
    with pytest.raises(ValueError, match=f"evil.pkl: refused: it names {name}"):
        read_checkpoint(path)
    assert not mark.exists()


def test_names_that_only_look_alike_are_refused(tmp_path: Path) -> None:
    for module, name in (("numpy", "ndarray.tofile"), ("jax._src.array", "os"), ("numpy", "save")):
        path = tmp_path / "evil.pkl"
        path.write_bytes(
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, name))
            + b"\x93)R."
        )  # fmt: skip
        with pytest.raises(ValueError, match=f"it names {module}.{name}"):
            read_checkpoint(path)


def test_optimiser_state_is_passed_over(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("optax._src.transform")
    state = namedtuple("ScaleByAdamState", "count mu nu", module="optax._src.transform")
    module.ScaleByAdamState = state  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "optax._src.transform", module)
    monkeypatch.setitem(sys.modules, "optax._src", types.ModuleType("optax._src"))
    monkeypatch.setitem(sys.modules, "optax", types.ModuleType("optax"))
    arrays = read_checkpoint(checkpoint)
    content = {"params": nested(arrays), "opt_state": (state(np.array(3), {"a": np.ones(2)}, ()),)}
    path = tmp_path / "adam.pkl"
    path.write_bytes(pickle.dumps(content))
    monkeypatch.undo()
    found = read_checkpoint(path)
    assert found.keys() == arrays.keys()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_cut_short(checkpoint: Path, tmp_path: Path, share: float) -> None:
    whole = checkpoint.read_bytes()
    path = tmp_path / "half.pkl"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"half.pkl: (damaged|not a checkpoint)"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [{"weights": {}}, [1, 2], {"params": {"linear": 3}}])
def test_no_checkpoint(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"other.pkl: not a checkpoint"):
        read_checkpoint(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing.pkl: no such file"):
        read_checkpoint(tmp_path / "nothing.pkl")


def without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: array for key, array in arrays.items() if key != name}


def with_shape(name: str, *shape: int) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("~/g_embeddings"), "parameter ~/g_embeddings is missing"),
        (without("linear_9/b"), "parameter linear_9/b is missing"),
        (with_shape("~/g_embeddings", 229, 16), r"g_embeddings has shape \(229, 16\), expected"),
        (with_shape("linear_8/w", 128, 31), r"linear_8/w has shape \(128, 31\).*\(128, 32\)"),
        (with_shape("layer_norm_2/scale", 33), r"layer_norm_2/scale has shape \(33,\)"),
        (with_shape("linear_11/w", 32, 170), r"linear_11/w gives 170 outputs, expected 119 \+ 13"),
        (with_shape("linear_12/b", 4), "parameter linear_12/b is unknown to this model"),
        (
            with_shape("multi_head_attention/query/w", 32, 96),
            r"query/w has 96 columns .*: give --heads",
        ),
        (with_shape("~/positional_embeddings", 104, 32), "is for 104 tokens, expected 5 × sites"),
        (with_shape("~/positional_embeddings", 3, 32), "is for 3 tokens, expected 5 × sites"),
        (with_shape("~/positional_embeddings", 0, 32), r"pkl: max_sites = 0: input should be gr"),
        (with_shape("~/positional_embeddings", 500, 32), r"pkl: max_sites = 100: input should"),
        (lambda a: a | {"linear_5/b": np.full(32, np.nan, np.float32)}, "contains NaN or infinity"),
        (lambda a: a | {"linear_5/b": np.array(["x"] * 32)}, "linear_5/b is not an array"),
    ],
)
def test_misfits_are_named(
    checkpoint: Path, tmp_path: Path, change: Callable[[Arrays], Arrays], message: str
) -> None:
    path = write(tmp_path / "odd.pkl", change(read_checkpoint(checkpoint)))
    with pytest.raises(ValueError, match=message) as caught:
        import_policy(path)
    assert "odd.pkl" in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"heads": 5}, "has 64 columns, not a multiple of 5 heads"),
        ({"heads": 64}, r"golden_model\.pkl: key_size must be even for rotary positions, got 1$"),
        ({"max_sites": 100}, r"pkl: max_sites = 100: input should be less than or equal to 61$"),
        ({"coordinate_modes": 0}, r"pkl: coordinate_modes = 0: input should be greater than 0$"),
        ({"coordinate_modes": 10**9}, "1000000000 von Mises components need 3000000000 outputs"),
    ],
)
def test_sizes_that_do_not_fit(checkpoint: Path, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_policy(checkpoint, **sizes)


def test_sites_that_the_file_denies(checkpoint: Path) -> None:
    learned = {"~/positional_embeddings": np.zeros((105, 32), np.float32)}
    with pytest.raises(ValueError, match="is for 105 tokens, expected 5 × 20"):
        infer_settings(read_checkpoint(checkpoint) | learned, max_sites=20)
