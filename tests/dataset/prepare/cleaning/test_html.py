import time

import pytest

from dataset.prepare.cleaning.html import _PREFORMATTED, html_to_text

SENTENCE = "This sentence is long enough to be seen as the content of a page, which a short one is not."


@pytest.mark.parametrize(
    "html, text",
    [
        ("<p>Hello <b>world</b>.</p>", "Hello world."),
        ("no tags: a < b &amp; c", "no tags: a < b & c"),
        ("<p>one\n  two</p>\n\n<p>three<br>four</p>", "one two\n\nthree\nfour"),
        ("<p>a</p><pre><code>if x &lt; 1:\n\n\n    y</code></pre><p>b</p>", "a\n\nif x < 1:\n\n\n    y\n\nb"),
        ("<ul><li>one<li>two<ul><li>three</ul></ul>", "- one\n- two\n- three"),
        ("<table><tr><th>a<th>b</tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2"),
        ("<div>a<script>if (x < '<p>') y</script><style>p {}</style> b</div>", "a b"),
        ("<ruby>打包<rp>(</rp><rt>Packaging</rt><rp>)</rp></ruby>", "打包（Packaging）"),
        ("<p>if a &amp;lt; b</p>", "if a < b"),  # escaped twice
        ("<p>write &lt;b&gt; as &amp;lt;b></p>", "write <b> as &lt;b>"),  # a text on HTML
        ('<math><mi>x</mi><annotation encoding="application/x-tex">x^2</annotation></math>', "$x^2$"),
        ('10<sup class="x">-6</sup> m<sup>2</sup>, 3<sup>rd</sup>, H<sub>2</sub>O', "10⁻⁶ m², 3rd, H2O"),
        ("<![if IE]>a<![endif]> b<![ x", "a b"),
        ("", ""),
    ],
)
def test_all_of_a_fragment_becomes_text(html, text):
    assert html_to_text(html) == text


def test_elements_that_nothing_closes_take_no_time():
    begun = time.process_time()
    assert html_to_text("<math>x " * 10_000) == "x " * 9_999 + "x "
    assert _PREFORMATTED.split("<pre>x " * 30_000 + "<pre>y</pre>")[1:] == ["<pre>y</pre>", ""]
    assert time.process_time() - begun < 5  # it took many times that while each was looked for to the end


def test_a_page_loses_what_surrounds_its_content():
    pytest.importorskip("trafilatura", reason="needs the extra data")
    page = f"""<!DOCTYPE html><html><head><title>T</title><script>var a;</script></head><body>
        <nav><ul><li><a href="/">Start</a></li><li><a href="/a">About us</a></li></ul></nav>
        <article><h1>A heading</h1><p>{SENTENCE}</p><pre><code>def f():

            pass</code></pre><p>In <time>1912</time> <b>bold</b>
            words, <q>quoted</q> and plain. {SENTENCE}</p><ul><li>
            <p>first</p></li></ul><table><tr><td>1</td><td>2</td></tr></table></article>
        <footer>© Somebody <a href="/privacy">Privacy</a></footer></body></html>"""
    lines = html_to_text(page).split("\n")
    assert lines[:5] == ["A heading", SENTENCE, "def f():", "", "            pass"]
    assert lines[5] == f"In 1912 bold words, quoted and plain. {SENTENCE}"
    assert lines[6] == "- first" and lines[7].startswith("| 1 | 2 |")
    assert len(lines) == 8


@pytest.mark.parametrize("tag", ["a href='/n'", "span", "code", "sub", "kbd"])
def test_a_word_in_a_tag_stays_in_its_line_in_a_short_page(tag):
    pytest.importorskip("trafilatura", reason="needs the extra data")
    words = f"The <{tag}>n</{tag.split()[0]}>th value of it."
    assert html_to_text(f"<html><body><p>{words}</p></body></html>") == "The nth value of it."


def test_what_stands_before_code_stays_in_a_long_page():
    pytest.importorskip("trafilatura", reason="needs the extra data")
    page = f"<html><body><div>The <code>n</code>th value of it. {SENTENCE * 4}</div></body></html>"
    assert html_to_text(page) == f"The nth value of it. {SENTENCE * 4}"


def test_a_short_page_keeps_a_line_for_each_item_of_its_menu():
    pytest.importorskip("trafilatura", reason="needs the extra data")
    menu = "<ul><li><a href='/'>Start</a></li><li><a href='/a'>About us</a></li></ul>"
    assert html_to_text(f"<html><body><p>A short text.</p>{menu}</body></html>").endswith("Start\nAbout us")


@pytest.mark.parametrize("tag", ["a href='/'", "span"])
def test_words_in_tags_side_by_side_stay_words_in_a_short_page(tag):
    pytest.importorskip("trafilatura", reason="needs the extra data")
    words = "".join(f"<{tag}>{word}</{tag.split()[0]}>" for word in ("Name", "Value"))
    assert html_to_text(f"<html><body><div>{words}</div><p>A text.</p></body></html>").split()[:2] == ["Name", "Value"]


def test_a_page_without_content_is_written_out():
    pytest.importorskip("trafilatura", reason="needs the extra data")
    assert html_to_text("<html><body>short</body></html>") == "short"
    assert html_to_text('<?xml version="1.0" encoding="utf-8"?><html><body></body></html>') == ""
