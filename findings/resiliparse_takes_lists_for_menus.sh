#!/usr/bin/env bash
# resiliparse 2.0.1, Python 3.11 (seen 2026-12-01).
# extract_plain_text(page, main_content=True) of resiliparse, by which DCLM and NeMo Curator make text of pages, leaves
# menus out. A <ul> of which fewer than three elements lie between it and <body> counts as one, whatever is in it and
# wherever it stands: in <main>, in <article>, between two paragraphs of text. So a page that is written as the standard
# of HTML advises, or just simply, loses its bulleted lists, and pages with one more <div> around them keep theirs.
# Numbered lists stay. Of a recipe the steps come through and the ingredients do not; a sentence that ends with a colon
# is followed by the next paragraph, and a network that is trained on it learns to announce what never comes. Nothing is
# counted or raised. The documentation speaks of simple heuristics, not of this one. Three <div>, one in another, around
# all that the body holds, before the call, avoid it.
# Output seen (of the text of the page, what comes through):
#   <ul> in body: Bring: | Then go.
#   <ul> in main, article: Bring: | Then go.
#   <ul> in div, div: Bring: | Then go.
#   <ul> in div, div, div: Bring: | • bread, which keeps for three days | • water | Then go.
#   <ol> in body: Bring: | 1. bread, which keeps for three days | 2. water | Then go.
#   <ol> in main, article: Bring: | 1. bread, which keeps for three days | 2. water | Then go.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet resiliparse==2.0.1
cat > lists.py <<'PYTHON'
import sys

from resiliparse.extract.html2text import extract_plain_text


def lines_of(kind: str, around: str) -> list[str]:
    """What is extracted of a page whose only list has these elements between it and <body>."""
    names = around.split(", ") if around else []
    items = "<li>bread, which keeps for three days</li><li>water</li>"
    text = f"<p>Bring:</p><{kind}>{items}</{kind}><p>Then go.</p>"
    for name in reversed(names):
        text = f"<{name}>{text}</{name}>"
    page = f"<!DOCTYPE html><html><head><title>A walk</title></head><body>{text}</body></html>"
    lines = [line.strip() for line in extract_plain_text(page, main_content=True).splitlines() if line.strip()]
    print(f"<{kind}> in {around or 'body'}: {' | '.join(lines)}")
    return lines


for kind, around, kept in (
    ("ul", "", False),
    ("ul", "main, article", False),
    ("ul", "div, div", False),
    ("ul", "div, div, div", True),
    ("ol", "", True),
    ("ol", "main, article", True),
):
    if len(lines_of(kind, around)) != (4 if kept else 2):
        sys.exit("no longer so: other lists are kept")
PYTHON
env/bin/python lists.py
