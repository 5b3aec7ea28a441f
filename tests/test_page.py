"""The report's page in a real browser, from disk: what is drawn, what can be chosen, how it looks.

Every page that a test opens is watched: an error on the console or a request for anything but the file fails it.
"""

import json

import pages
import pytest
from pages import page_module


@pytest.fixture(scope="module")
def report_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "index.html"
    page_module.write_page(pages.report(), pages.pictures(), path)
    return path


@pytest.fixture(scope="module")
def shared(watch, report_path):
    watched = watch()
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


def select(page, label):
    return page.get_by_role("combobox", name=label, exact=True)


def column(page, label, number):
    return page.get_by_role("region", name=label).locator(f"tbody tr > :nth-child({number})").all_text_contents()


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
        f"On {name}, at equal PSNR of 29.5–37.3 dB, aec needs 40.0 % fewer bits than jpeg, "
        "20.0 % fewer than webp (29.5–36.0 dB) and 9.1 % more than avif (29.5–30.4 dB)*. "
        "* The curves share a short range only."
        for name in ("kodak", "second")
    ]
    expected = pages.report()
    assert expected["sets"][0]["verdicts"][0] in page.locator("main").text_content()
    how = page.locator("#how").text_content()
    for fact in (expected["command"], expected["machine"], expected["commit"], *expected["method"], "Runs: 3."):
        assert fact in how


def test_names_are_text_whatever_they_are(page, report_path):
    assert page.title() == "aec bench, 2026-11-21"
    assert page.locator("img").count() == 0 and page.locator("main script").count() == 0
    for place in (".notes", "code", "#numbers thead th", ".picker option"):
        assert pages.HOSTILE in page.locator(place).last.text_content()
    assert report_path.read_text().count("<script>alert(1)") == 0


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
    assert rows[0] == "aec·−40.0−20.029.5–36.0 dB⚠ +9.129.5–30.4 dB"
    assert rows[2].startswith("webp⚠ +25.0") and len(rows) == 5
    assert "short range" in page.locator("td.bd[title]").nth(7).get_attribute("title")
    page.get_by_label("quality at equal bits").check()
    rows = page.get_by_role("region", name="BD matrix of kodak").locator("tbody tr").all_text_contents()
    assert rows[0] == "aec·+2.950.40–1.42 bpp+1.290.40–1.42 bpp−0.500.40–1.42 bpp"
    assert rows[4] == "vtm (published)––––"
    best = page.locator("td.best").all_text_contents()
    assert best == ["0.424", "0.600", "0.849"]


def test_keys_turn_over_the_pictures_of_the_set(page):
    page.locator(".stage").focus()
    for key, name in (("n", pages.HOSTILE), ("n", "small"), ("p", pages.HOSTILE)):
        page.keyboard.press(key)
        assert page.locator(".picker :checked").text_content() == name
    assert "PSNR, RGB∞ dB" in page.locator(".caption").first.text_content()
    assert "bits per pixel0.400" in page.locator(".caption").first.text_content()  # of the picture that was encoded
    assert page.locator(".picker .muted").text_content() == "80 × 100, shown at 40 × 50"


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


# ------------------------------------------------------------------ without a browser


def test_a_page_is_whole_or_not_there(tmp_path):
    path = tmp_path / "index.html"
    path.write_text("before")
    bad = page_module.Picture("kodak", "x", pages.PICTURE, [page_module.Version("aec", 1, 1, pages.PICTURE[1:], {})])
    with pytest.raises(ValueError, match=r"x: aec is uint8 \[239, 320, 3\]: must be uint8 \[240, 320, 3\]"):
        page_module.write_page(pages.report(), [bad], path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    page_module.write_page(pages.report(), [], path)
    text = path.read_text()
    data = text.split('id="report">')[1].split("</script>")[0]
    assert json.loads(data)["sets"][0]["points"][14]["psnr"] == "∞" and "NaN" not in data
    assert "https:" not in text.split('id="plotly"')[0] and list(tmp_path.iterdir()) == [path]
