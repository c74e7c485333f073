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
        (
            "10<sup>-6</sup> m<sup>2</sup>, 3<sup>rd</sup> H<sub>2</sub>O `x<sup>2</sup>`",
            "10⁻⁶ m², 3rd H2O `x<sup>2</sup>`",
        ),
        ("<ruby>打包<rt>Packaging</rt></ruby>是", "打包（Packaging）是"),
        ("- [x](y)\n- b\n\n1. c", "- x\n- b\n\n1. c"),
        ("no change: a_b * c \\ #1\n***\n", "no change: a_b * c \\ #1\n***\n"),
    ],
)
def test_what_a_reader_does_not_see_leaves(markdown, text):
    assert thin(markdown)[0] == text


@pytest.mark.parametrize(
    "formula",
    [
        r"设 $\mathbf{x}_i + w_{j}$ 和 $\{a\,b\}$",
        r"a $a<b>c$ b $[a](b)$, $f_{1}(x)_2 _a_$",
        r"行内 $$a \\ b$$ 之后",
        r"so \(x_{1}*y*z_{2}\) and \[\{a\}\]",
        "其中\n$$\na \\\\ b\n= c\n- d\n$$\n结束",
        "- 设\n  \\[\n  a_{1}_b \\\\\n  \\]\n> $$\n> \\{a\\}\n> $$",
        "\\begin{align*}\na &= b \\\\\n\\begin{matrix}1\\\\2\\end{matrix}\n\\end{align*}",
    ],
)
def test_formulas_stay_as_they_are(formula):
    assert thin(f"{formula}\n\n[c](d)")[0] == f"{formula}\n\nc"


@pytest.mark.parametrize(
    "markdown, text",
    [
        (r"$5 and _this_ is $6, \$7 [x](y) \$8", "$5 and *this* is $6, $7 x $8"),
        (r"\[1\] says [x](y), \(or\) `$a$`", "[1] says x, (or) `$a$`"),
        ("$$\n[x](y)\n\n$$", "$$\nx\n\n$$"),  # a blank line ends it
        ("    $$\n\n[x](y) $$", "    $$\n\nx $$"),
    ],
)
def test_what_only_looks_like_a_formula_is_thinned(markdown, text):
    assert thin(markdown)[0] == text


def test_what_leaves_is_counted_and_may_stay():
    markdown = "![a](b) [c](d) <i>e</i>"
    assert thin(markdown)[1] == {"images": 1, "links": 1, "HTML in Markdown": 2}
    assert clean(markdown, "markdown", thin_markdown=False).text == markdown
