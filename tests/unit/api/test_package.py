"""The package itself: quick to import, and with the names that it promises."""

import subprocess
import sys

import pytest

import crystalformer_rl as cf


def test_importing_it_imports_nothing_heavy() -> None:
    script = (
        "import sys, crystalformer_rl as cf; cf.__version__\n"
        "print({'torch', 'pymatgen', 'pandas', 'numpy', 'ase'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_every_public_name_is_there_and_documented() -> None:
    assert set(cf.__all__) < set(dir(cf))
    for name in cf.__all__:
        assert getattr(cf, name).__doc__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_police'"):
        _ = cf.load_police
