import pytest

pytest.importorskip("markdown_it", reason="needs the extra data")

from dataset.prepare.cleaning.cleaning import clean
from dataset.prepare.cleaning.markdown import thin


@pytest.mark.parametrize(
    "markdown, text",
    [
        ("a [link](http://x.y) and ![image](z.png) and <b>tag</b>", "a link and  and tag"),
        ("see [this][1] and <http://x.y>\n\n[1]: http://a.b (title)\n", "see this and http://x.y\n\n"),
        ("one\n\n[![badge](b.svg)](http://ci)\n\ntwo", "one\n\ntwo"),
        ("Title\n=====\n\nSub\n---", "# Title\n\n## Sub"),
        ("## *a* **b** `c*`\n> - [q](u)\n>   ![i](j)", "## *a* **b** `c*`\n> - q"),
        ("```html\n<b>![x](y)</b>\n```", "```html\n<b>![x](y)</b>\n```"),
        ("    [code](stays)\n\ntext", "    [code](stays)\n\ntext"),
        ("| [a](b) | c |\n|---|---|\n| 1 | 2 |", "| a | c |\n|---|---|\n| 1 | 2 |"),
        ("---\ntitle: x\n---\ntext", "text"),
        ("text\n\n<!-- a\ncomment -->\n\nmore", "text\n\nmore"),
        ('<p align="center">\n<img src="a"><br>shown\n</p>\n\ntext', "shown\n\ntext"),
        ("<ruby>打包<rt>Packaging</rt></ruby>是", "打包（Packaging）是"),
        ("- [x](y)\n- b\n\n1. c", "- x\n- b\n\n1. c"),
        ("no change: a_b * c \\ #1\n***\n", "no change: a_b * c \\ #1\n***\n"),
    ],
)
def test_what_a_reader_does_not_see_leaves(markdown, text):
    assert thin(markdown)[0] == text


def test_what_leaves_is_counted_and_may_stay():
    markdown = "![a](b) [c](d) <i>e</i>"
    assert thin(markdown)[1] == {"images": 1, "links": 1, "HTML in Markdown": 2}
    assert clean(markdown, "markdown", thin_markdown=False).text == markdown
