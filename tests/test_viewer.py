"""The comparison viewer in a real browser: what its keys do, and which pixels are under both halves."""

import base64
import io

import numpy as np
import pages
import pytest
from pages import HEIGHT, PICTURE, PIXELS, WIDTH, page_module
from PIL import Image

import codec.cli.parser

DIVIDER, HANDLE = 2, 28  # pixels around it that the divider, and its handle's shadow, may cover


@pytest.fixture(scope="module")
def viewer_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("viewer") / "viewer.html"
    path.write_bytes(page_module.comparison_page("viewer", [], pages.report()["metrics"], pages.pictures()[0]))
    return path


@pytest.fixture
def viewer(open_page, viewer_path):
    """The viewer alone, at a pixel of the picture for one of the screen, and with the keys."""
    page = open_page(viewer_path)
    page.get_by_role("button", name="1:1").click()
    page.locator(".stage").focus()
    return page


def select(page, label):
    return page.get_by_role("combobox", name=label, exact=True)


def screenshot(page):
    """The stage as [H, W, 3] uint8, and where the picture's corner is in it at 1:1."""
    stage = page.locator(".stage")
    stage.scroll_into_view_if_needed()
    pixels = np.array(Image.open(io.BytesIO(stage.screenshot())).convert("RGB"))
    return pixels, round((pixels.shape[0] - HEIGHT) / 2), round((pixels.shape[1] - WIDTH) / 2)


def picture_at_1(page):
    pixels, top, left = screenshot(page)
    return pixels[top : top + HEIGHT, left : left + WIDTH]


def check_halves(seen, left, right, at):
    """Every pixel is the left picture's before the divider and the right one's after it."""
    rows = np.abs(np.arange(HEIGHT) - HEIGHT / 2) > HANDLE
    for select, cover in ((rows, DIVIDER), (~rows, HANDLE)):
        assert np.array_equal(seen[select, : max(0, at - cover)], left[select, : max(0, at - cover)])
        assert np.array_equal(seen[select, at + cover :], right[select, at + cover :])


def test_it_opens_with_the_rival_of_the_same_size_and_the_right_pixels_in_both_halves(viewer):
    assert select(viewer, "Left").locator(":checked").text_content() == "aec, quality 30"
    assert select(viewer, "Right").locator(":checked").text_content() == "webp, quality 40"
    figures = viewer.locator(".caption").all_text_contents()
    assert figures[0] == "aec, quality 30bytes1,000bits per pixel0.104PSNR, RGB31.25 dB"
    assert figures[1].startswith("webp, quality 40bytes1,010 (+1.0 %)bits per pixel0.105")
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["webp", 40], WIDTH // 2)


def test_the_divider_follows_the_mouse_and_the_keys(viewer):
    _, top, left = screenshot(viewer)
    box = viewer.locator(".stage").bounding_box()
    x, y = box["x"] + left, box["y"] + top + 40
    viewer.mouse.move(x + WIDTH // 2 + 5, y)  # near it: taken hold of where it is
    viewer.mouse.down()
    viewer.mouse.move(x + WIDTH // 2 + 5 + 60, y + 10, steps=3)
    viewer.mouse.up()
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["webp", 40], WIDTH // 2 + 60)
    viewer.mouse.click(x + 100, y)  # far from it: it comes
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["webp", 40], 100)
    viewer.keyboard.press("Home")
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["webp", 40], 0)
    for _ in range(5):
        viewer.keyboard.press("ArrowRight")
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["webp", 40], WIDTH // 10)
    assert viewer.locator(".stage").get_attribute("aria-valuenow") == "10"
    viewer.keyboard.press("ArrowLeft")
    assert viewer.locator(".stage").get_attribute("aria-valuenow") == "8"


def test_keys_flip_and_choose_rivals(viewer):
    viewer.keyboard.press("f")
    viewer.keyboard.press("End")
    check_halves(picture_at_1(viewer), PIXELS["webp", 40], PIXELS["aec", 30], WIDTH)
    viewer.keyboard.press("f")
    viewer.keyboard.press("1")
    viewer.keyboard.press("Home")
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["jpeg", 20], 0)
    select(viewer, "Left").select_option(label="aec, quality 60")  # the rival goes along in size
    check_halves(picture_at_1(viewer), PIXELS["aec", 60], PIXELS["jpeg", 60], 0)
    viewer.locator(".stage").focus()
    viewer.keyboard.press("o")
    check_halves(picture_at_1(viewer), PIXELS["aec", 60], PICTURE, 0)


def test_the_difference_is_amplified_and_said_in_numbers(viewer):
    viewer.keyboard.press("d")
    far = np.abs(PIXELS["aec", 30].astype(int) - PIXELS["webp", 40])
    assert np.array_equal(picture_at_1(viewer), np.minimum(255, 8 * far))
    differing = 100 * np.mean(far.max(2) > 0)
    assert viewer.locator(".distance").text_content() == (
        f"largest difference {far.max()} of 255; {differing:.1f} % of the pixels differ"
    )
    select(viewer, "amplified").select_option("2")
    assert np.array_equal(picture_at_1(viewer), np.minimum(255, 2 * far))
    viewer.get_by_role("button", name="Difference").click()
    assert viewer.locator(".distance").text_content() == ""
    check_halves(picture_at_1(viewer), PIXELS["aec", 30], PIXELS["webp", 40], WIDTH // 2)


def test_pixels_are_squares_from_200_percent_and_can_be_panned(viewer):
    viewer.keyboard.press("End")
    viewer.keyboard.press("+")
    seen, _, _ = screenshot(viewer)
    top, left = (seen.shape[0] - 2 * HEIGHT) // 2, (seen.shape[1] - 2 * WIDTH) // 2
    doubled = PIXELS["aec", 30].repeat(2, 0).repeat(2, 1)
    assert np.array_equal(seen[top : top + 2 * HEIGHT, left : left + 2 * WIDTH - HANDLE], doubled[:, :-HANDLE])
    viewer.keyboard.press("+")
    viewer.keyboard.press("+")
    assert viewer.locator(".zoom").text_content() == "800 %"
    height, width = seen.shape[:2]
    enlarged = PIXELS["aec", 30].repeat(8, 0).repeat(8, 1)
    top, left = (8 * HEIGHT - height) // 2, (8 * WIDTH - width) // 2
    box = viewer.locator(".stage").bounding_box()
    viewer.mouse.move(box["x"] + 300, box["y"] + 200)
    viewer.mouse.down()
    viewer.mouse.move(box["x"] + 340, box["y"] + 170, steps=2)
    viewer.mouse.up()
    seen, _, _ = screenshot(viewer)
    expected = enlarged[top + 30 : top + 30 + height, left - 40 : left - 40 + width]
    assert np.array_equal(seen[:, : width - HANDLE], expected[:, : width - HANDLE])
    viewer.mouse.wheel(0, 2000)  # smaller, but never below the whole
    viewer.wait_for_function("document.querySelector('.zoom').value === '100 %'")
    viewer.keyboard.press("0")
    assert viewer.locator(".zoom").text_content() == "200 %"  # the largest whole multiple that fits


def test_compare_writes_a_page_with_the_same_viewer(open_page, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    sizes = {}
    for name, options in (("low.jpg", {"quality": 20}), ("high.jpg", {"quality": 90}), ("same.png", {})):
        Image.fromarray(PICTURE).save(tmp_path / name, **options)
        sizes[name] = (tmp_path / name).stat().st_size
    inputs = [str(tmp_path / name) for name in ("photo.png", *sizes)]
    assert codec.cli.parser.main(["compare", *inputs, "-o", str(tmp_path / "out.html")]) == 0
    page = open_page(tmp_path / "out.html")
    assert page.title() == "photo.png: 3 files compared"
    rows = [row.split() for row in page.locator("tbody tr").all_inner_texts()]
    assert [(row[0], int(row[1].replace(",", ""))) for row in rows] == list(sizes.items())
    assert rows[2][3] == "∞"
    page.get_by_role("button", name="1:1").click()
    page.locator(".stage").focus()
    low, high = (np.array(Image.open(tmp_path / name)) for name in ("low.jpg", "high.jpg"))
    check_halves(picture_at_1(page), low, high, WIDTH // 2)
    page.keyboard.press("2")
    page.keyboard.press("d")
    assert np.array_equal(picture_at_1(page), np.minimum(255, 8 * np.abs(low.astype(int) - PICTURE)))


def test_pictures_are_embedded_losslessly_as_the_smaller_of_two_formats():
    for pixels in (PICTURE, np.zeros((1, 1, 3), np.uint8), np.zeros((1, 16384, 3), np.uint8)):
        head, data = page_module.data_uri(pixels).split(",")
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert head == f"data:image/{image.format.lower()};base64" and not image.info.get("icc_profile")
        assert np.array_equal(np.array(image), pixels)
    assert page_module.data_uri(PICTURE).startswith("data:image/webp")
