#!/usr/bin/env bash
# datatrove 0.10.1 with spacy 3.8.18, jieba 0.42.1 and xxhash 3.6.0, Python 3.11 (seen 2026-11-30).
# MinHash of datatrove compares runs of five words, which it finds by the language that it is told, English by default.
# Words of English are split at spaces, and Chinese has none, so up to a full stop and a space all is one word. A text
# of fewer than five such words has no run, gets no signature, and is kept, however often it is there. Languages.chinese
# is no help: it stands for "zho", whose words are split at spaces as well, and so is "zh". Only
# Languages.mandarin_chinese, "cmn", cuts Chinese words. Nothing is raised or counted: the log says that a text was
# seen, and the result looks like a corpus without copies. Longer texts with spaces or line breaks have signatures, but
# of whole sentences, so that one changed character makes another run. Pass language=Languages.mandarin_chinese, and try
# it with a copy.
# Output seen (a Chinese text that is there three times, and one of its own; then the same in English; how many are
# kept):
#   Chinese, english by default: 4 of 4
#   Chinese, Languages.chinese: 4 of 4
#   Chinese, "zh": 4 of 4
#   Chinese, Languages.mandarin_chinese: 2 of 4
#   English, english by default: 2 of 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datatrove==0.10.1 spacy==3.8.18 jieba==0.42.1 xxhash==3.6.0 fasteners==0.20 \
    regex==2026.11.19 tokenizers==0.23.3 numpy==2.3.4
cat > copies.py <<'PYTHON'
import sys

from datatrove.data import Document
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.utils.typeshelper import Languages

texts = {
    "Chinese": ["今天的天气很好，我们一起去公园散步，看见很多人在放风筝。", "人工智能是一门科学，研究机器如何思考。"],
    "English": ["The weather is fine, so we walk in the park and watch kites.", "A small model learns from texts."],
}


def kept(text: str, other: str, folder: str, **language) -> int:
    """How many of four documents, three of which are copies, come through the four steps of the guide."""
    documents = [Document(text=text, id=str(number)) for number in range(3)] + [Document(text=other, id="other")]
    config = MinhashConfig()
    MinhashDedupSignature(f"{folder}/signatures", config=config, **language).run(iter(documents))
    for bucket in range(config.num_buckets):
        buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
        buckets.run(rank=bucket, world_size=config.num_buckets)
    MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config).run()
    return len(list(MinhashDedupFilter(f"{folder}/remove").run(iter(documents))))


seen = []
for name, said, language in (
    ("Chinese", "english by default", {}),
    ("Chinese", "Languages.chinese", {"language": Languages.chinese}),
    ("Chinese", '"zh"', {"language": "zh"}),
    ("Chinese", "Languages.mandarin_chinese", {"language": Languages.mandarin_chinese}),
    ("English", "english by default", {}),
):
    seen.append(kept(*texts[name], f"{name} {said}".replace('"', ""), **language))
    print(f"{name}, {said}: {seen[-1]} of 4")
if seen != [4, 4, 4, 2, 2]:
    sys.exit("no longer so: other copies are kept")
PYTHON
TMPDIR=$folder env/bin/python copies.py 2> errors || { cat errors; exit 1; }
