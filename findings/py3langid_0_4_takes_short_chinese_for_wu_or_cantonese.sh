#!/usr/bin/env bash
# py3langid 0.4.0, beside 0.3.0, Python 3.11 (seen 2026-11-30).
# Version 0.4 of py3langid knows Wu and Cantonese besides Chinese, and most written Mandarin of a few characters has
# nothing by which the three differ. 0.3 took nine of ten short texts for zh; 0.4 takes a third of them for one of the
# other two, traditional characters more often than simplified ones: 你好 is Cantonese, and 中国 is Wu. A filter that keeps
# what is zh, of questions, titles or lines of subtitles, loses those with the newer version, and one that counts
# languages finds two that nobody wrote. Sentences of some length are zh in both. set_languages with those that can occur,
# or taking wuu and yue for zh, avoids it.
# Output seen (28 short questions, answers and titles in Mandarin, in each of the two scripts):
#   0.3.0: simplified 26 zh, 2 ja; traditional 24 zh, 4 ja
#   0.4.0: simplified 19 zh, 7 wuu, 2 yue; traditional 17 zh, 10 yue, 1 wuu
#   0.4.0, only zh, en and ja: simplified 28 zh; traditional 27 zh, 1 ja
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > short.py <<'PYTHON'
import importlib.metadata
import sys
from collections import Counter

import py3langid

texts = {
    "simplified": (
        "你好|谢谢|中国|学习语言|翻译成英文|总结这段话|写一首诗|推荐一本书|给我讲个故事。|你叫什么名字？|北京在哪里？|今天天气很好。|"
        "明天会下雨吗？|我不知道。|水的化学式是什么？|什么是光合作用？|怎么做红烧肉？|三加五等于几？|好的，没问题。|请再说一遍。|"
        "这本书多少钱？|现在几点了？|我喜欢音乐。|请帮我改这句话。|他是一名工程师。|数据结构|机器学习|历史"
    ),
    "traditional": (
        "你好|謝謝|中國|學習語言|翻譯成英文|總結這段話|寫一首詩|推薦一本書|給我講個故事。|你叫什麼名字？|北京在哪裡？|今天天氣很好。|"
        "明天會下雨嗎？|我不知道。|水的化學式是什麼？|什麼是光合作用？|怎麼做紅燒肉？|三加五等於幾？|好的，沒問題。|請再說一遍。|"
        "這本書多少錢？|現在幾點了？|我喜歡音樂。|請幫我改這句話。|他是一名工程師。|資料結構|機器學習|歷史"
    ),
}
version = importlib.metadata.version("py3langid")


def counts(name: str) -> list[Counter]:
    found = [Counter(py3langid.classify(text)[0] for text in group.split("|")) for group in texts.values()]
    said = [", ".join(f"{number} {language}" for language, number in group.most_common()) for group in found]
    print(f"{name}: " + "; ".join(f"{script} {numbers}" for script, numbers in zip(texts, said)))
    return found


others = sum(group["wuu"] + group["yue"] for group in counts(version))
if (others > 10) != (version == "0.4.0"):
    sys.exit("no longer so: another number of texts is Wu or Cantonese")
if version == "0.4.0":
    py3langid.set_languages(["zh", "en", "ja"])
    if any(group["zh"] < 25 for group in counts(f"{version}, only zh, en and ja")):
        sys.exit("no longer so: with three languages, other texts are Chinese")
PYTHON
for version in 0.3.0 0.4.0; do
    python3 -m venv "env_$version"
    "env_$version/bin/pip" install --quiet "py3langid==$version" numpy==2.3.4
    "env_$version/bin/python" short.py
done
