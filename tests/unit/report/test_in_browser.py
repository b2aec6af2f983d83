"""The page in a real browser: Chromium without a screen. Skipped only where none is installed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.browser import CHROMIUM, Browser, browser
from pymatgen.core import Structure

from crystalformer_rl.report.page import Report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt install chromium)"),
]
TABLE = "document.querySelector('#structure-table')"
LOSSES = "#figure-losses"
SHOWN = f"[...{TABLE}.querySelectorAll('tbody tr:not(.spacer)')]"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(chromium: Browser, run_of_four: Report, tmp_path: Path) -> Iterator[Browser]:
    """The page of four policies of 12 structures, and no problem in the end."""
    path = tmp_path / "index.html"
    path.write_text(run_of_four.html, encoding="utf-8")
    chromium.problems.clear()
    chromium.look()
    chromium.open(path)
    chromium.wait(f"{TABLE}.dataset.ready")
    yield chromium
    assert chromium.problems == []


def _found(page: Browser) -> str:
    return str(page.run(f"{TABLE}.querySelector('.found').textContent"))


def _fill(page: Browser, field: str, value: str) -> None:
    page.run(
        f"(() => {{ const field = {TABLE}.querySelector('[name={field}]');"
        f" field.value = {json.dumps(value)};"
        " field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def _column(page: Browser, place: int) -> list[str]:
    return list(page.run(f"{SHOWN}.map((row) => row.cells[{place}].textContent)"))


def test_every_figure_is_drawn(page: Browser, run_of_four: Report) -> None:
    sizes = page.run(
        "[...document.querySelectorAll('main figure svg')].map((svg) =>"
        " [svg.getBoundingClientRect().width, svg.querySelectorAll('path, circle').length])"
    )
    assert len(sizes) == len(run_of_four.figures)
    assert all(width > 50 and marks > 3 for width, marks in sizes)


def test_rows_are_sorted_by_a_click_and_back_by_the_next(page: Browser) -> None:
    heads = page.run(f"[...{TABLE}.querySelectorAll('thead th')].map((head) => head.textContent)")
    place = next(i for i, head in enumerate(heads) if "after relaxation" in head)
    orders = []
    for _ in range(2):
        page.click(f"#structure-table thead th:nth-child({place + 1}) button")
        values = [text.replace("−", "-") for text in _column(page, place)]
        orders.append([float(text) for text in values if text != "–"])
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[1], reverse=True)


def test_rows_are_filtered_by_every_field(page: Browser) -> None:
    assert _found(page) == "48 of 48 structures"
    _fill(page, "policy", "sft")
    assert _found(page) == "12 of 48 structures"
    assert {text.strip() for text in _column(page, 1)} == {"sft"}
    _fill(page, "group", "cubic")
    groups = [int(text.split()[0]) for text in _column(page, 4)]
    assert groups
    assert min(groups) >= 195
    page.click("#structure-table [type=reset]")
    page.wait(f"{TABLE}.querySelector('.found').textContent === '48 of 48 structures'")
    _fill(page, "chemistry", "O -Na")
    formulas = _column(page, 2)
    assert formulas
    assert all("O" in one and "Na" not in one for one in formulas)
    _fill(page, "chemistry", "Oxygen")
    assert "“Oxygen” is not an element" in _found(page)
    _fill(page, "chemistry", "")
    _fill(page, "words", "rl-ehull-0000-0003")
    assert _found(page) == "1 of 48 structures"
    _fill(page, "words", "nothing like this")
    assert _found(page) == "None of 48 structures passes the filters."


def test_flags_leave_what_carries_them(page: Browser) -> None:
    page.click("#structure-table [value=sun]")
    letters = _column(page, 3)
    assert letters
    assert set(letters) == {"SUN"}


def test_a_crystal_turns_by_mouse_and_by_keys_and_is_saved(page: Browser, tmp_path: Path) -> None:
    page.click("#structure-table tbody tr:nth-child(2) th")
    page.wait("document.querySelector('#crystal canvas')")
    assert page.run("document.querySelectorAll('#crystal .sites tbody tr').length") >= 1
    pictures = [_picture(page)]
    page.drag("#crystal .view", by=(120, 40))
    pictures.append(_picture(page))
    page.run("document.querySelector('#crystal .view').focus()")
    page.press("ArrowLeft", 37)
    pictures.append(_picture(page))
    assert len(set(pictures)) == 3
    page.downloads(tmp_path)
    name = page.run("document.querySelector('#crystal .title small').textContent")
    page.click("#crystal .cif")
    saved = tmp_path / f"{name}.cif"
    page.wait_for(saved)
    formula = page.run("document.querySelector('#crystal .title span').textContent")
    assert Structure.from_file(saved).composition.reduced_formula == formula


def test_the_known_crystal_is_beside_it_and_turns_with_it(page: Browser) -> None:
    # In this run each structure is itself the known crystal that it is nearest to.
    page.click("#structure-table tbody tr:nth-child(2) th")
    page.wait("document.querySelector('#crystal .known canvas')")
    first, second = _pictures(page)
    assert first == second
    page.drag("#crystal .known .view", by=(70, 30))
    turned, also = _pictures(page)
    assert turned == also != first
    caption = page.run("document.querySelector('#crystal .known figcaption').textContent")
    facts = page.run("document.querySelector('#crystal .facts').textContent")
    name = caption.removeprefix("matches ").removeprefix("nearest known: ").split(",")[0]
    assert f"id{name}" in facts
    assert "energy above hull of the dataset0.012 eV/atom" in facts


def test_cards_open_the_crystal_and_escape_closes_it(page: Browser) -> None:
    page.click("button.turn")
    page.wait("document.querySelector('#crystal').open")
    shown = page.run("document.querySelector('#crystal .title small').textContent")
    asked = page.run("document.querySelector('button.turn').dataset.structure")
    assert asked.split("/")[1] == shown
    page.press("Escape", 27)
    page.wait("!document.querySelector('#crystal').open")


def test_arrow_keys_go_through_the_rows(page: Browser) -> None:
    page.run(f"{TABLE}.querySelector('tbody button').focus()")
    names = [page.run("document.activeElement.textContent")]
    for key, code in (("ArrowDown", 40), ("End", 35), ("Home", 36)):
        page.press(key, code)
        names.append(page.run("document.activeElement.textContent"))
    assert names[3] == names[0]
    assert len(set(names)) == 3


def _read(page: Browser) -> dict[str, str]:
    """What the box beside the pointer says of the losses: the value of each name."""
    step, *rows = page.run(
        f"[...document.querySelectorAll('{LOSSES} .tip:not([hidden]) > :not(small)')]"
        ".map((one) => one.textContent)"
    )
    return {"step": step} | dict(row.rsplit(" ", 1) for row in rows)


def _lines(page: Browser) -> list[list[float]]:
    """The points of the drawn losses."""
    texts = page.run(
        f"[...document.querySelectorAll('{LOSSES} [id*=panel-0] > [id*=line2d] > path')]"
        ".map((path) => path.getAttribute('d'))"
    )
    return [[float(number) for number in re.findall(r"-?[\d.]+", text)] for text in texts]


def _ticks(page: Browser) -> list[float]:
    """The numbers below and beside the losses, where they are not those of the file."""
    texts = page.run(
        f"[...document.querySelectorAll('{LOSSES} .ticks text')].map((one) => one.textContent)"
    )
    return [float(text.replace("−", "-")) for text in texts]


def test_pointing_at_a_curve_reads_the_values_of_the_step(
    page: Browser, run_of_four: Report
) -> None:
    page.point(f"{LOSSES} > svg")
    found = _read(page)
    history = run_of_four.tables["history-base"].set_index("epoch")
    row = history.loc[int(found["step"].split()[-1])]
    assert 20 < row.name < 40
    assert float(found["validation"]) == pytest.approx(row["val_loss"], rel=1e-4)
    assert float(found["training (with dropout)"]) == pytest.approx(row["train_loss"], rel=1e-4)
    page.point("h1")
    assert page.run(f"document.querySelector('{LOSSES} .tip').hidden")


@pytest.mark.parametrize("way_back", ["Escape", "double click", "button", "print"])
def test_dragging_zooms_in_and_there_is_a_way_back(page: Browser, way_back: str) -> None:
    before = _lines(page)
    page.drag(f"{LOSSES} > svg", by=(150, 0))
    assert _lines(page) != before
    assert 28 <= _ticks(page)[0] < _ticks(page)[1] <= 60
    match way_back:
        case "Escape":
            page.press("Escape", 27)
        case "double click":
            page.click(f"{LOSSES} > svg", times=2)
        case "button":
            page.click(f"{LOSSES} .reset")
        case "print":
            page.pdf()
    assert _lines(page) == before
    assert _ticks(page) == []


def test_ticks_are_round_numbers_short_enough_to_read(page: Browser) -> None:
    for limits, expected in {
        "[0.1, 4.2], { least: 1 }": ["1", "2", "3", "4"],
        "[-0.52, -0.31]": ["−0.50", "−0.45", "−0.40", "−0.35"],
        "[0.9, 0.99], { percent: true }": [
            "90\u202f%", "92\u202f%", "94\u202f%", "96\u202f%", "98\u202f%",
        ],
        "[-1e-8, 8.1e-7]": ["0", "2e−7", "4e−7", "6e−7", "8e−7"],
    }.items():  # fmt: skip
        assert page.run(f"ticksBetween({limits}).map(([, text]) => text)") == expected


def test_a_finger_reads_and_zooms(page: Browser) -> None:
    page.look(width=390, height=844)
    page.swipe(f"{LOSSES} > svg", by=(0, 0))
    assert _read(page)["step"].startswith("base (pretraining), epoch ")
    assert _ticks(page) == []
    page.swipe(f"{LOSSES} > svg", by=(80, 0))
    assert len(_ticks(page)) > 4
    assert page.run("document.documentElement.scrollWidth") <= 390


def test_curves_are_read_and_zoomed_by_keys(page: Browser) -> None:
    page.run(f"document.querySelector('{LOSSES} > svg').focus()")
    found = []
    for key in ("ArrowRight", "ArrowRight", "+", "-"):
        page.press(key)
        found.append((_read(page)["step"], bool(_ticks(page))))
    assert found == [
        ("base (pretraining), epoch 0", False), ("base (pretraining), epoch 1", False),
        ("base (pretraining), epoch 1", True), ("base (pretraining), epoch 1", False),
    ]  # fmt: skip


def test_the_page_is_as_wide_as_a_phone(page: Browser) -> None:
    page.look(width=390, height=844)
    page.wait("document.querySelector('#hull-of-system svg').viewBox.baseVal.width < 390")
    assert page.run("document.documentElement.scrollWidth") <= 390


def test_who_wants_no_motion_gets_none(page: Browser) -> None:
    page.look(motion="reduce")
    page.click("#structure-table tbody tr:nth-child(2) th")
    page.wait("document.querySelector('#crystal canvas')")
    page.click("#crystal .spin")
    assert page.run("document.querySelector('#crystal .spin').ariaPressed") == "false"


def test_a_system_is_chosen_by_a_key_and_its_find_opens(page: Browser) -> None:
    hull = "document.querySelector('#hull-of-system')"
    page.run(f"{hull}.querySelector('select').focus()")
    seen = []
    for _ in range(2):
        name = page.run(f"{hull}.querySelector('select').selectedOptions[0].textContent")
        label = page.run(f"{hull}.querySelector('figure svg').ariaLabel")
        assert name.split(" ")[0] in label
        finds = page.run(f"{hull}.querySelectorAll('tbody tr').length")
        assert page.run(f"{hull}.querySelectorAll('svg .find').length") == finds
        assert f"({finds} find" in name
        seen.append(name)
        page.press("ArrowDown", 40)
    assert len(set(seen)) == 2
    formula = page.run(f"{hull}.querySelector('tbody button').textContent")
    page.click("#hull-of-system tbody button")
    page.wait("document.querySelector('#crystal').open")
    assert page.run("document.querySelector('#crystal .title span').textContent") == formula


def test_a_button_copies_the_line_to_cite(page: Browser) -> None:
    page.send(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    page.click("[data-copies=cite-line]")
    page.wait("document.querySelector('[data-copies=cite-line]').textContent === 'Copied'")
    line = page.run("document.querySelector('#cite-line').textContent")
    assert page.run("navigator.clipboard.readText()") == line


def test_the_page_is_printed_with_figures_and_rows(page: Browser) -> None:
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert 5 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 40


def _picture(page: Browser) -> str:
    """The drawn crystal as PNG, after the next frames."""
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.run("document.querySelector('#crystal canvas').toDataURL()"))


def _pictures(page: Browser) -> list[str]:
    """The crystal and the known one as they are drawn."""
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    canvases = "[...document.querySelectorAll('#crystal canvas')]"
    return list(page.run(f"{canvases}.map((one) => one.toDataURL())"))
