"""Pictures of crystals."""

import re
from xml.etree import ElementTree

import pytest
from helpers.crystals import rock_salt
from pymatgen.core import Lattice, Structure

from crystalformer_rl.report.crystals import colour, draw

SALT = rock_salt()


def test_atoms_on_the_border_are_repeated() -> None:
    # 14 on corners and faces, 13 on edges and in the middle: the textbook picture of salt.
    circles = re.findall(r"url\(#e(\d+)\)", draw(SALT, label="salt").svg())
    assert circles.count("11") == 14
    assert circles.count("17") == 13


def test_picture_is_well_formed_whatever_the_label() -> None:
    root = ElementTree.fromstring(draw(SALT, label='<"salt" & pepper>').svg())
    assert root.attrib["aria-label"] == '<"salt" & pepper>'


def test_everything_lies_within_the_picture() -> None:
    skewed = Structure(
        Lattice.from_parameters(3, 9, 4, 50, 60, 70), ["Cs", "O"], [[0] * 3, [0.4] * 3]
    )
    root = ElementTree.fromstring(draw(skewed, label="").svg())
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        x, y, radius = (float(circle.attrib[name]) for name in ("cx", "cy", "r"))
        assert radius <= min(x, y)
        assert max(x, y) + radius <= 240


def test_metals_are_not_bonded_to_metals() -> None:
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    edges = 12 * 10
    assert draw(copper, label="").svg().count("<path") == edges
    assert draw(SALT, label="").svg().count("<path") > edges


@pytest.mark.parametrize("number", [1, 8, 109, 110, 118])
def test_colours_are_hexadecimal(number: int) -> None:
    assert re.fullmatch("#[0-9a-f]{6}", colour(number))


def test_picture_is_the_same_pdf_each_time() -> None:
    picture = draw(SALT, label="salt")
    assert picture.pdf().startswith(b"%PDF")
    assert picture.pdf() == draw(SALT, label="salt").pdf()
