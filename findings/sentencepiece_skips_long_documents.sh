#!/usr/bin/env bash
# sentencepiece 0.2.3, beside tokenizers 0.23.3, Python 3.11 (seen 2026-11-30).
# SentencePieceTrainer leaves out each text of more than max_sentence_length bytes, 4,192 by default, as a whole. Whoever
# hands it documents, by sentence_iterator or one in each line of a file, trains the vocabulary on the short ones only; in
# UTF-8 a Chinese text is out from 1,398 characters on, where an English one may have 4,192, so of a corpus of both
# languages more of the Chinese is missing, and they weigh otherwise than in the corpus. Characters that only long
# documents have are unknown, or bytes with byte_fallback, since character_coverage is counted without them, too. Nothing
# fails: three lines among 183 of the log say that long lines are skipped. The trainer of tokenizers reads everything.
# max_sentence_length above the longest document, or documents cut into paragraphs, avoid it.
# Output seen (200 long documents about one thing and 200 short ones about another, which are less than 1 % of the text;
# what a text about the first becomes):
#   documents of 1,397 characters, sentencepiece: 语言模型的 训练
#   documents of 1,398 characters, sentencepiece: unknown
#   documents of 1,398 characters, sentencepiece, max_sentence_length=10000: 语言模型 的训练
#   documents of 1,398 characters, tokenizers: 语言模型 的训练
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet sentencepiece==0.2.3 tokenizers==0.23.3
cat > train.py <<'PYTHON'
import io
import random
import sys

import sentencepiece
from tokenizers import Tokenizer, models, trainers

short = ["天气很好", "今天下雨"] * 100


def long_documents(characters: int) -> list[str]:
    chance = random.Random(0)
    words = ["语言", "模型", "训练", "的"]
    return ["".join(chance.choice(words) for _ in range(characters))[:characters] for _ in range(200)]


def of_sentencepiece(documents: list[str], **more) -> list[str]:
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(documents), model_writer=file, vocab_size=60, model_type="bpe",
        hard_vocab_limit=False, character_coverage=1.0, add_dummy_prefix=False, **more
    )  # fmt: skip
    trained = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
    return ["unknown" if trained.is_unknown(number) else trained.id_to_piece(number) for number in trained.encode(TEXT)]


def of_tokenizers(documents: list[str]) -> list[str]:
    trained = Tokenizer(models.BPE(unk_token="unknown"))
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["unknown"], show_progress=False)
    trained.train_from_iterator(documents, trainer)
    return trained.encode(TEXT).tokens


def long_enough(documents: list[str]) -> list[str]:
    return of_sentencepiece(documents, max_sentence_length=10_000)


TEXT = "语言模型的训练"
for characters, name, train in (
    (1397, "sentencepiece", of_sentencepiece),
    (1398, "sentencepiece", of_sentencepiece),
    (1398, "sentencepiece, max_sentence_length=10000", long_enough),
    (1398, "tokenizers", of_tokenizers),
):
    pieces = train(long_documents(characters) + short)
    print(f"documents of {characters:,} characters, {name}: {' '.join(pieces)}")
    if ("unknown" in pieces) != (characters == 1398 and train == of_sentencepiece):
        sys.exit("no longer so: other documents are left out")
PYTHON
env/bin/python train.py 2> errors || { tail errors; exit 1; }
