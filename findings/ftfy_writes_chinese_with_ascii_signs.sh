#!/usr/bin/env bash
# ftfy 6.3.1, Python 3.11 (seen 2026-11-30).
# fix_text of ftfy mends texts that were decoded by the wrong encoding, and pipelines call it on every text (Data-Juicer's
# fix_unicode_mapper does, with these defaults). Two of its defaults change Chinese that has no fault. Comma, colon,
# semicolon, question mark, exclamation mark and brackets are "full-width" forms to it and become ASCII
# (fix_character_width); quotation marks become straight ones, with no difference of left and right (uncurl_quotes). Full
# stop 。 and 、 are no such forms and stay, so one sentence has signs of both kinds. A network that is trained on such
# texts writes so, and its tokenizer knows the signs of the prompts of its users as rare ones only. In English it is
# hardly noticed. TextFixerConfig(fix_character_width=False, uncurl_quotes=False) mends as much and leaves Chinese alone.
# Output seen (a sentence without a fault, and a word that was decoded by the wrong encoding):
#   as it was: 他问：“你好吗？”（笑着）；她说：很好，谢谢！我学《论语》、《诗经》。 schÃ¶n
#   by default: 他问:"你好吗?"(笑着);她说:很好,谢谢!我学《论语》、《诗经》。 schön
#   both off: 他问：“你好吗？”（笑着）；她说：很好，谢谢！我学《论语》、《诗经》。 schön
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ftfy==6.3.1
cat > signs.py <<'PYTHON'
import sys

import ftfy

written = "他问：“你好吗？”（笑着）；她说：很好，谢谢！我学《论语》、《诗经》。"
in_ascii = written.translate(str.maketrans("：“？”（）；，！", ':"?"();,!'))
print(f"as it was: {written} schÃ¶n")
for name, settings, expected in (
    ("by default", {}, in_ascii),
    ("both off", {"fix_character_width": False, "uncurl_quotes": False}, written),
):
    config = ftfy.TextFixerConfig(**settings)
    found, word = ftfy.fix_text(written, config), ftfy.fix_text("schÃ¶n", config)
    print(f"{name}: {found} {word}")
    if (found, word) != (expected, "schön"):
        sys.exit("no longer so: other signs are changed")
PYTHON
env/bin/python signs.py
