"""Mistakes in the text of a configuration file that its values no longer show."""

import pytest

from crystalformer_rl.config.spellings import mistakes

WRITE = ": put it in quotes, or write the number that you mean"


@pytest.mark.parametrize(
    ("text", "found"),
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
        ("sample:\n  count: 0400\n", [f"sample.count: YAML reads 0400 in line 2 as 256{WRITE}"]),
        ("seed: [1, -010]", [f"seed.1: YAML reads -010 in line 1 as -8{WRITE}"]),
        ("seed: 1:30", [f"seed: YAML reads 1:30 in line 1 as 90{WRITE}"]),
        ("seed: 1:30.5", [f"seed: YAML reads 1:30.5 in line 1 as 90.5{WRITE}"]),
        ("seed: '010'\nb: 0\nc: 08\nd: 010.5\ne: 0x10\nf: 1_000\ng: 2026-11-28\n", []),
        ("", []),
        ("seed: [", []),
    ],
)
def test_each_mistake_has_its_path_and_lines(text: str, found: list[str]) -> None:
    assert mistakes(text) == found
