"""The report's page and the viewer in a real browser, from disk: what is drawn, what keys do, which pixels.

Every page that a test opens is watched: an error on the console or a request for anything but the file fails it.
"""

import importlib
import io
import json
import math
import shutil

import numpy as np
import pages
import pytest
from PIL import Image

import codec.cli

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel

page_module = importlib.import_module(f"{bench.__name__}.page")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEIGHT, WIDTH = 240, 320
ORIGINAL = pages.original(HEIGHT, WIDTH)
VERSIONS = {  # (codec, quality): bytes; aec at 30 and webp at 40 are of nearly one size, and so are aec and jpeg at 60
    ("aec", 30): 1000,
    ("jpeg", 20): 900,
    ("webp", 40): 1010,
    ("aec", 60): 2000,
    ("jpeg", 60): 2010,
    ("webp", 80): 2100,
}
PIXELS = {key: pages.noisy(ORIGINAL, seed) for seed, key in enumerate(VERSIONS)}
DIVIDER, HANDLE = 2, 28  # pixels around it that the divider, and its handle's shadow, may cover


def pictures():
    versions = [
        page_module.Version(name, quality, n_bytes, PIXELS[name, quality], {"psnr": 31.25, "ssimulacra2": None})
        for (name, quality), n_bytes in VERSIONS.items()
    ]
    flat = np.full((50, 40, 3), 99, np.uint8)
    lossless = [page_module.Version("aec", 100, 400, flat, {"psnr": math.inf})]
    return [
        page_module.Picture("kodak", "small", ORIGINAL, versions),
        page_module.Picture("kodak", pages.HOSTILE, flat, lossless),
        page_module.Picture("second", "small", ORIGINAL, versions[:2]),
    ]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as p:
        # Containers have no user namespaces for the sandbox; the colour profile would otherwise be the screen's.
        arguments = ["--headless=new", "--no-sandbox", "--force-color-profile=srgb"]
        browser = p.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "index.html"
    page_module.write_page(pages.report(), pictures(), path)
    return path


class Watched:
    """Opens pages and remembers what they complain of and ask for."""

    def __init__(self, browser):
        self.browser, self.complaints, self.requests, self.files = browser, [], [], []

    def open(self, path, **options):
        """A page, once its viewer shows a picture."""
        page = self.browser.new_page(**{"viewport": {"width": 1280, "height": 900}, "device_scale_factor": 1} | options)
        page.set_default_timeout(20_000)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("dialog", lambda d: self.complaints.append(f"dialog: {d.message}"))
        page.on("request", lambda r: self.requests.append(r.url[:200]))
        self.files.append(path.as_uri())
        page.goto(path.as_uri())
        page.wait_for_selector(".zoom:has-text('%')")
        return page

    def check(self):
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("data:", "blob:", *self.files))] == []


@pytest.fixture
def open_page(browser):
    watched, opened = Watched(browser), []

    def open_one(path, **options):
        opened.append(watched.open(path, **options))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()
    watched.check()


@pytest.fixture(scope="module")
def shared(browser, report_path):
    watched = Watched(browser)
    return watched, watched.open(report_path)


@pytest.fixture
def page(shared):
    """The report, which takes its time to load: one for all tests, with every choice as it was at the beginning."""
    watched, page = shared
    page.evaluate("""() => {
        document.querySelector(".chips button").click();
        for (const details of document.querySelectorAll("details")) details.open = false;
        for (const input of document.querySelectorAll("input")) {
            if (input.defaultChecked && !input.checked) input.click();
        }
        for (const select of document.querySelectorAll("select")) {
            const first = [...select.options].findIndex((option) => option.defaultSelected);
            if (select.selectedIndex === first) continue;
            select.selectedIndex = first;
            select.dispatchEvent(new Event("change"));
        }
    }""")
    yield page
    watched.check()


@pytest.fixture(scope="module")
def viewer_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("viewer") / "viewer.html"
    path.write_bytes(page_module.comparison_page("viewer", [], pages.report()["metrics"], pictures()[0]))
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


def shown(page, plot="rd"):
    """What Plotly draws: {curve's name: (x, y)} of a plot."""
    traces = page.evaluate(f"document.getElementById('{plot}')._fullData.map(t => [t.name, [...t.x], [...t.y]])")
    return {name: (x, y) for name, x, y in traces}


def chip(page, name):
    return page.get_by_label(name, exact=True)


# ------------------------------------------------------------------ plots


def test_every_curve_is_drawn_with_its_points(page):
    curves = shown(page)
    assert list(curves) == [*pages.CODECS, "vtm (published)"]
    measured = pages.report()["sets"][0]["curves"]
    for name in pages.CODECS:
        assert curves[name] == ([p["bpp"] for p in measured[name]], [p["psnr"] for p in measured[name]])
    assert page.locator("#rd .scatterlayer .trace").count() == 5
    assert page.locator("#rd .scatterlayer .point").count() == 4 * 5  # published curves have no marks
    dashes = page.evaluate("document.getElementById('rd')._fullData.map(t => t.line.dash)")
    assert dashes == ["solid"] * 4 + ["dot"]


def test_published_curves_do_not_stretch_the_axes(page):
    highest = max(p["bpp"] for curve in pages.report()["sets"][0]["curves"].values() for p in curve)
    low, high = page.evaluate("document.getElementById('rd')._fullLayout.xaxis.range")
    assert low == 0 and highest < high < 1.1 * highest < max(shown(page)["vtm (published)"][0])


def test_hovering_shows_quality_rate_and_value(page):
    page.locator("#rd").scroll_into_view_if_needed()
    x, y = page.evaluate("""() => {
        const plot = document.getElementById("rd"), box = plot.getBoundingClientRect();
        const {xaxis, yaxis} = plot._fullLayout, {x, y} = plot._fullData[1];
        return [box.x + xaxis._offset + xaxis.d2p(x[2]), box.y + yaxis._offset + yaxis.d2p(y[2])];
    }""")
    page.mouse.move(x - 5, y)
    page.mouse.move(x, y)
    text = page.locator("#rd .hoverlayer .hovertext").text_content()
    assert text == "jpeg · quality 601.024 bpp · 32.00 dB"  # two lines


def test_a_legend_entry_hides_its_curve_in_all_plots(page):
    assert {"aec", "jpeg", "webp", "avif"} == set(shown(page, "encode-speed"))
    chip(page, "webp").uncheck()
    assert "webp" not in shown(page) and "webp" not in shown(page, "encode-speed") and "aec" in shown(page)
    assert page.locator("#rd .scatterlayer .trace").count() == 4
    chip(page, "webp").focus()
    page.keyboard.press("Space")
    assert "webp" in shown(page)
    page.locator(".chips label", has_text="jpeg").dblclick()
    assert list(shown(page)) == ["jpeg"]
    page.locator(".chips").get_by_role("button", name="all").click()
    assert len(shown(page)) == 5


def test_metric_axis_and_set_can_be_chosen(page):
    select(page, "Metric").select_option("ms-ssim")
    curves = shown(page)
    assert len(curves["avif"][0]) == 4 and len(curves["jpeg"][0]) == 5  # one was not measured
    assert curves["jpeg"][1][0] == 0.9 and curves["vtm (published)"] == ([], [])
    select(page, "Metric").select_option("ssimulacra2")  # nothing at all: an empty plot, no error
    assert all(x == [] for x, _ in shown(page).values())
    select(page, "Metric").select_option("psnr")
    page.get_by_label("log", exact=True).check()
    assert page.evaluate("document.getElementById('rd')._fullLayout.xaxis.type") == "log"
    page.get_by_label("linear", exact=True).check()
    assert page.evaluate("document.getElementById('rd')._fullLayout.xaxis.type") == "linear"
    page.get_by_label("second", exact=True).check()
    assert page.locator(".picker").text_content() == "small320 × 240"
    assert "Every file: 20 of 1 image" in page.locator("#numbers").text_content()


def test_speed_is_plotted_against_the_bd_rate_to_a_chosen_rival(page):
    def at(plot):
        return {name: (x[0], y[0]) for name, (x, y) in shown(page, plot).items()}

    assert at("encode-speed")["jpeg"] == (pytest.approx(20), 0)
    assert at("decode-speed")["aec"] == (pytest.approx(40 * 0.36), pytest.approx(-40))
    select(page, "Against").select_option("aec")
    assert at("encode-speed")["jpeg"] == (pytest.approx(20), pytest.approx(100 * (1 / 0.6 - 1)))


def test_no_button_of_the_plots_sends_anything(page):
    labels = page.eval_on_selector_all("#rd .modebar-btn", "nodes => nodes.map(n => n.dataset.title)")
    assert labels == ["Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]


def test_the_page_may_not_ask_the_network_for_anything(shared, page):
    watched, _ = shared
    assert page.evaluate("fetch('https://example.org/').then(() => 'asked', () => 'refused')") == "refused"
    assert watched.complaints and all("Content Security Policy" in line for line in watched.complaints)
    watched.complaints.clear()


# ------------------------------------------------------------------ words and tables


def test_the_verdict_says_what_the_bd_rates_are(page):
    sentences = page.locator(".verdict").all_text_contents()
    assert [s.replace("\u00a0", " ") for s in sentences] == [
        f"On {name}, at equal PSNR, aec needs 40.0 % fewer bits than jpeg, 20.0 % fewer than webp "
        "and 9.1 % more than avif."
        for name in ("kodak", "second")
    ]


def test_names_are_text_whatever_they_are(page, report_path):
    assert page.title() == "aec bench, 2026-11-21"
    assert page.locator("img").count() == 0 and page.locator("main script").count() == 0
    for place in (".notes", "code", "#numbers thead th", ".picker option"):
        assert pages.HOSTILE in page.locator(place).last.text_content()
    assert report_path.read_text().count("<script>alert(1)") == 0


def column(page, label, number):
    return page.get_by_role("region", name=label).locator(f"tbody tr > :nth-child({number})").all_text_contents()


def test_tables_sort_by_click_and_by_key(page):
    page.get_by_text("Every file: 40 of 2 images").click()
    select(page, "image").select_option("")
    table = page.get_by_role("region", name="every file of kodak")
    assert table.locator("tbody tr").count() == 40
    head = table.get_by_role("columnheader", name="PSNR, RGB, dB")
    head.get_by_role("button").click()
    values = column(page, "every file of kodak", 6)
    assert head.get_attribute("aria-sort") == "ascending"
    assert values[:-2] == sorted(values[:-2], key=float) and values[-2:] == ["∞", "∞"]
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "every file of kodak", 6) == values[::-1]
    table.get_by_role("columnheader", name="peak encode, MB").get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "none"
    assert column(page, "every file of kodak", 10)[-10:] == ["–"] * 10  # what is not known goes last
    assert column(page, "every file of kodak", 9) == ["–"] * 40


def test_the_bd_matrix_warns_of_short_overlaps_and_has_both_quantities(page):
    rows = page.get_by_role("region", name="BD matrix of kodak").locator("tbody tr").all_text_contents()
    assert rows[0] == "aec·−40.029.50–36.00−20.029.50–36.00+9.129.50–36.00"
    assert rows[2].startswith("webp⚠ +25.0") and len(rows) == 5
    assert "short range" in page.locator("td.bd[title]").nth(7).get_attribute("title")
    page.get_by_label("quality at equal bits").check()
    rows = page.get_by_role("region", name="BD matrix of kodak").locator("tbody tr").all_text_contents()
    assert rows[0] == "aec·–––"
    best = page.locator("td.best").all_text_contents()
    assert best == ["0.424", "0.600", "0.849"]


# ------------------------------------------------------------------ viewer


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
    figures = viewer.locator("figcaption").all_text_contents()
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
    check_halves(picture_at_1(viewer), PIXELS["aec", 60], ORIGINAL, 0)


def test_the_difference_is_amplified_and_said_in_numbers(viewer):
    viewer.keyboard.press("d")
    far = np.abs(PIXELS["aec", 30].astype(int) - PIXELS["webp", 40])
    assert np.array_equal(picture_at_1(viewer), np.minimum(255, 8 * far))
    differing = 100 * np.mean(far.max(2) > 0)
    assert viewer.locator(".zoom").text_content() == (
        f"100 % · largest difference {far.max()} of 255, {differing:.1f} % of pixels differ"
    )
    select(viewer, "amplified").select_option("2")
    assert np.array_equal(picture_at_1(viewer), np.minimum(255, 2 * far))
    viewer.get_by_role("button", name="Difference").click()
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


def test_keys_turn_over_the_pictures_of_the_set(page):
    page.locator(".stage").focus()
    for key, name in (("n", pages.HOSTILE), ("n", "small"), ("p", pages.HOSTILE)):
        page.keyboard.press(key)
        assert page.locator(".picker :checked").text_content() == name
    assert "PSNR, RGB∞ dB" in page.locator("figcaption").first.text_content()
    page.keyboard.press("p")


# ------------------------------------------------------------------ light, dark, small


def luminance(colour):
    return sum(float(part) for part in colour.strip("rgb()").split(",")[:3]) / 3


BACKGROUND = "getComputedStyle(document.body).backgroundColor"
PLOT_TEXT = "document.getElementById('rd')._fullLayout.font.color"


def test_the_colours_follow_the_scheme_plots_too(page):
    for scheme, text, darkest, lightest in (("dark", "#ecebe6", 0, 40), ("light", "#1d1d1b", 220, 255)):
        page.emulate_media(color_scheme=scheme)
        assert darkest <= luminance(page.evaluate(BACKGROUND)) <= lightest
        page.wait_for_function(f"{PLOT_TEXT} === '{text}'")


def test_a_phone_shows_it_without_scrolling_sideways_and_fingers_work(open_page, report_path):
    phone = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
    page = open_page(report_path, color_scheme="dark", **phone)
    assert luminance(page.evaluate(BACKGROUND)) < 40 and page.evaluate(PLOT_TEXT) == "#ecebe6"
    for summary in page.locator("summary").all():
        summary.tap()
    assert page.locator("details[open]").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    stage = page.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box["width"] == 336  # so the picture is 320 wide: two pixels of this screen for one of its own
    page.touchscreen.tap(box["x"] + 8 + 64, box["y"] + 50)
    assert stage.get_attribute("aria-valuenow") == "20"
    before = page.locator(".zoom").text_content()
    client = page.context.new_cdp_session(page)
    middle, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 80), ("touchEnd", None)):
        points = [] if apart is None else [{"x": middle + s * apart, "y": y, "id": i} for i, s in enumerate((-1, 1))]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    zoom = float(before.split()[0])
    assert float(page.locator(".zoom").text_content().split()[0]) == pytest.approx(4 * zoom, rel=0.02)


# ------------------------------------------------------------------ aec compare


def test_compare_writes_a_page_with_the_same_viewer(open_page, tmp_path):
    Image.fromarray(ORIGINAL).save(tmp_path / "photo.png")
    sizes = {}
    for name, options in (("low.jpg", {"quality": 20}), ("high.jpg", {"quality": 90}), ("same.png", {})):
        Image.fromarray(ORIGINAL).save(tmp_path / name, **options)
        sizes[name] = (tmp_path / name).stat().st_size
    inputs = [str(tmp_path / name) for name in ("photo.png", *sizes)]
    assert codec.cli.main(["compare", *inputs, "-o", str(tmp_path / "out.html")]) == 0
    page = open_page(tmp_path / "out.html")
    assert page.title() == "photo.png: 3 files compared"
    assert [int(v.replace(",", "")) for v in column(page, "files", 2)] == list(sizes.values())
    assert column(page, "files", 4)[2] == "∞"
    page.get_by_role("button", name="1:1").click()
    page.locator(".stage").focus()
    low, high = (np.array(Image.open(tmp_path / name)) for name in ("low.jpg", "high.jpg"))
    check_halves(picture_at_1(page), low, high, WIDTH // 2)
    page.keyboard.press("2")
    page.keyboard.press("d")
    assert np.array_equal(picture_at_1(page), np.minimum(255, 8 * np.abs(low.astype(int) - ORIGINAL)))


# ------------------------------------------------------------------ without a browser


def test_pictures_are_embedded_losslessly_as_the_smaller_of_two_formats():
    import base64

    for pixels in (ORIGINAL, np.zeros((1, 1, 3), np.uint8), np.zeros((1, 16384, 3), np.uint8)):
        head, data = page_module.data_uri(pixels).split(",")
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert head == f"data:image/{image.format.lower()};base64" and not image.info.get("icc_profile")
        assert np.array_equal(np.array(image), pixels)
    assert page_module.data_uri(ORIGINAL).startswith("data:image/webp")


def test_a_page_is_whole_or_not_there(tmp_path):
    path = tmp_path / "index.html"
    path.write_text("before")
    bad = page_module.Picture("kodak", "x", ORIGINAL, [page_module.Version("aec", 1, 1, ORIGINAL[1:], {})])
    with pytest.raises(ValueError, match=r"x: aec is uint8 \[239, 320, 3\]: must be uint8 \[240, 320, 3\]"):
        page_module.write_page(pages.report(), [bad], path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    page_module.write_page(pages.report(), [], path)
    text = path.read_text()
    data = text.split('id="report">')[1].split("</script>")[0]
    assert json.loads(data)["sets"][0]["points"][14]["psnr"] == "∞" and "NaN" not in data
    assert "https:" not in text.split('id="plotly"')[0] and list(tmp_path.iterdir()) == [path]
