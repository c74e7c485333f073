#!/usr/bin/env bash
# datatrove 0.10.1 with spacy 3.8.18 and jieba 0.42.1, Python 3.11 (seen 2026-12-01).
# GopherRepetitionFilter of datatrove drops texts that repeat themselves. One of its rules (arXiv:2112.11446) asks what
# share of a text its most frequent run of two, three or four words is, and it takes a run that is there once for one,
# too. Four words of a short text are a large share of it: a text of 2 to 24 words in which nothing is repeated is
# dropped for repetition. Gopher has another rule beside it, of at least 50 words, so nobody sees it on pages of the
# web; of short stories, poems, questions and answers this one leaves little. In Chinese it reaches further. By default
# words end at spaces, so a line is one, and a story of up to a dozen lines is dropped. With Languages.mandarin_chinese
# words are right, but between two of them a space is counted that the text does not have, and texts of up to 34 words,
# 68 characters here, go. The reason that is given, "top_4_gram", is that of a text which says one phrase a hundred
# times. No issue was found. GopherRepetitionFilter(top_n_grams=()) goes on to drop repeated lines, paragraphs and
# longer runs of words; give it the language.
# Output seen (texts of different words, by their number, and a story of five lines, 228 characters):
#   English, words that are dropped: 2 to 24, as top_2_gram, top_3_gram, top_4_gram
#   Chinese, words that are dropped: 2 to 34, as top_2_gram, top_3_gram, top_4_gram
#   the story: dropped as top_2_gram; told that it is Chinese: kept; without top_n_grams: kept
#   one phrase 100 times, without top_n_grams: dropped as duplicated_5_n_grams
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datatrove==0.10.1 spacy==3.8.18 jieba==0.42.1 regex==2026.11.19 numpy==2.4.6
cat > short.py <<'PYTHON'
import sys

from datatrove.data import Document
from datatrove.pipeline.filters import GopherRepetitionFilter
from datatrove.utils.typeshelper import Languages

ENGLISH = (
    "table river stone cloud apple bread chair dream earth field glass heart house juice knife light mouse night ocean "
    "paper queen radio sheep tiger uncle voice water youth zebra beach candy dance eagle fruit green horse image jelly"
).split()
CHINESE = (
    "春天 城市 朋友 音乐 电影 火车 苹果 牛奶 老师 学生 森林 海洋 月亮 太阳 雨伞 手表 钢琴 足球 医生 警察 "
    "餐厅 超市 飞机 轮船 天气 新闻 故事 诗歌 历史 地理 数学 化学 物理 语言 文字 书包 铅笔 桌子"
).split()
STORY = """春天的早晨，老船长照例沿着海堤走一圈。他数了数停在港口里的渔船，一共七条，比昨天少了一条。
码头上的年轻人正在修补渔网，收音机里播着天气预报，说傍晚会有大风。
老船长皱起眉头，想起三十年前的那场风暴，那时候谁也没有把预报当回事，结果两条船再也没有回来。
他走过去，让大家把缆绳再系紧一些，然后给还在海上的阿明打了电话。阿明说，鱼群刚到，再等一个小时就返航。
“现在就回来。”老船长的声音不高，却没有商量的余地。傍晚时分，最后一条船进了港，浪已经漫过了堤岸。"""


def result(text: str, **settings: object) -> str:
    """Kept, or why not."""
    kept = GopherRepetitionFilter(**settings).filter(Document(text=text, id="0"))
    return "kept" if kept is True else f"dropped as {kept[1]}"


def dropped(name: str, words: list[str], between: str, language: str) -> tuple[int, int]:
    results = {n: result(between.join(words[:n]), language=language) for n in range(1, len(words) + 1)}
    gone = {n: reason.removeprefix("dropped as ") for n, reason in results.items() if reason != "kept"}
    print(f"{name}, words that are dropped: {min(gone)} to {max(gone)}, as {', '.join(dict.fromkeys(gone.values()))}")
    return min(gone), max(gone)


english = dropped("English", ENGLISH, " ", Languages.english)
chinese = dropped("Chinese", CHINESE, "", Languages.mandarin_chinese)
story = result(STORY), result(STORY, language=Languages.mandarin_chinese), result(STORY, top_n_grams=())
print(f"the story: {story[0]}; told that it is Chinese: {story[1]}; without top_n_grams: {story[2]}")
phrase = result("now click here to win " * 100, top_n_grams=())
print(f"one phrase 100 times, without top_n_grams: {phrase}")
if (english, chinese) != ((2, 24), (2, 34)):
    sys.exit("no longer so: other lengths are dropped")
if story != ("dropped as top_2_gram", "kept", "kept") or phrase == "kept":
    sys.exit("no longer so: other texts are dropped")
PYTHON
TMPDIR=$folder env/bin/python short.py 2> errors || { cat errors; exit 1; }
