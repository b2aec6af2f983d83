"""Make src/crystalformer_rl/crystal/wyckoff.json from the Wyckoff list of PyXtal.

The facts are those of the International Tables for Crystallography, Volume A: letter,
multiplicity and coordinates of every Wyckoff position of the 230 groups in the standard setting
(unique axis b, hexagonal axes for R, origin choice 2). PyXtal 1.1.5 (MIT licence) ships them as
``pyxtal/database/wyckoff_list.csv``; of each position only the first coordinate triplet is kept,
the rest follows from the group's operations. Run once, by a developer:

    pip download --no-deps pyxtal==1.1.5 && unzip pyxtal-*.whl
    python resources/make_wyckoff.py pyxtal/database/wyckoff_list.csv > wyckoff.json
"""

import ast
import csv
import json
import string
import sys
from pathlib import Path

import spglib

LETTERS = string.ascii_lowercase + "A"


def standard_hall_number(space_group: int) -> int:
    """Hall number of the ITA standard setting: the first, or origin choice 2 where there is one."""
    types = {hall: spglib.get_spacegroup_type(hall) for hall in range(1, 531)}
    halls = [hall for hall, kind in types.items() if kind.number == space_group]
    return next((hall for hall in halls if types[hall].choice == "2"), halls[0])


def main(path: Path) -> None:
    """Print the table: per group its Hall number and [letter, multiplicity, first triplet]."""
    with path.open(newline="") as stream:
        rows = [row for row in list(csv.reader(stream))[1:] if row[1]]
    lines = []
    for number, text in rows:
        # PyXtal lists the general position first, letters count from the most special one.
        positions = [
            [letter, len(triplets), triplets[0].replace(" ", "")]
            for letter, triplets in zip(LETTERS, ast.literal_eval(text)[::-1], strict=False)
        ]
        group = {"hall": standard_hall_number(int(number)), "positions": positions}
        lines.append(f'"{number}": {json.dumps(group, separators=(",", ":"))}')
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
