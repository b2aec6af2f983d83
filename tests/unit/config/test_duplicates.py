"""Keys that a configuration file gives twice."""

import pytest

from crystalformer_rl.config.duplicates import repeated_keys


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("seed: 1\nrl:\n  fom: {tau: 1}\n  ehull: {tau: 1}\n", []),
        ("seed: 1\nrun: a\nseed: 2\n", ["seed: given twice, in lines 1 and 3"]),
        (
            "rl:\n  fom:\n    tau: 1\n    tau: 2\n  fom: {}\n",
            [
                "rl.fom.tau: given twice, in lines 3 and 4",
                "rl.fom: given twice, in lines 2 and 5",
            ],
        ),
        ("a:\n- {b: 1, 'b': 2}\n", ["a.0.b: given twice, in lines 2 and 2"]),
        ('{"seed": 1,\n "seed": 2}', ["seed: given twice, in lines 1 and 2"]),
        ("", []),
        ("seed: [", []),
    ],
)
def test_each_repeated_key_has_its_path_and_lines(text: str, repeated: list[str]) -> None:
    assert repeated_keys(text) == repeated
