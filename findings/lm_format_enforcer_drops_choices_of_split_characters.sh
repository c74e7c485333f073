#!/usr/bin/env bash
# lm-format-enforcer 0.11.3 with transformers 4.57.6 and tokenizers 0.22.2, Python 3.11 (seen 2026-11-30).
# lm-format-enforcer checks an answer by characters and asks of every token alone what characters it is. In a byte-level
# vocabulary a rare character is made of two or three tokens, none of which is a character. So where a schema lists what
# may be said (enum), each choice with such a character is silently struck out: of 广州 and 上海 a model can only say
# 上海, with certainty, because 广 is not in the vocabulary. In free text the parts pass, and behind the character the
# enforcer has lost its place: it allows spaces and the end, and the JSON breaks off there. A large vocabulary has most
# characters in one piece and meets it now and then (issue 30 of lm-format-enforcer); one of some thousand tokens, as
# small networks have, meets it all the time in Chinese, and in é, ü or ß. xgrammar 0.2.9 and llguidance 1.9.1, which
# check bytes, let the same characters be written byte by byte.
# Output seen (what a model would say; how far it gets, and what it may say then):
#   上海 or 广州, wants "上海": "上海"
#   上海 or 广州, wants "广州": ", then only 上海
#   any text, wants "上海": "上海"
#   any text, wants "广州": "广, then only a space or the end
#   any text, wants "Paris": "Paris"
#   any text, wants "Zürich": "Zü, then only a space or the end
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==4.57.6 tokenizers==0.22.2 numpy==2.3.4
env/bin/pip install --quiet lm-format-enforcer==0.11.3
cat > enforce.py <<'PYTHON'
from lmformatenforcer import JsonSchemaParser, TokenEnforcer
from lmformatenforcer.integrations.transformers import build_token_enforcer_tokenizer_data
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<end>"
LEARNED = ["上海是一座城市。", '{"city": "上海"}'] * 50
trained = Tokenizer(models.BPE())
trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trained.decoder = decoders.ByteLevel()
settings = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), "special_tokens": [END], "show_progress": False}
trained.train_from_iterator(LEARNED, trainers.BpeTrainer(vocab_size=280, **settings))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, eos_token=END, pad_token=END)
data = build_token_enforcer_tokenizer_data(tokenizer)


def said(schema: dict, wanted: str) -> str:
    """What is written of the wanted text until the enforcer forbids its next token, and what it allows there."""
    prompt = tokenizer.encode("city:")
    enforcer, written = TokenEnforcer(data, JsonSchemaParser(schema)), []
    for token in [*tokenizer.encode(wanted), tokenizer.eos_token_id]:
        allowed = enforcer.get_allowed_tokens(prompt + written).allowed_tokens
        if token not in allowed:
            texts = {tokenizer.decode([other]).strip() for other in allowed}
            rest = "a space or the end" if texts == {"", END} else " or ".join(sorted(texts))
            return f"{tokenizer.decode(written)}, then only {rest}"
        written.append(token)
    return tokenizer.decode(written[:-1])


ASKED = {
    "上海 or 广州": ({"type": "string", "enum": ["上海", "广州"]}, ("上海", "广州")),
    "any text": ({"type": "string"}, ("上海", "广州", "Paris", "Zürich")),
}
for name, (schema, wanted) in ASKED.items():
    for text in wanted:
        print(f'{name}, wants "{text}":', said(schema, f'"{text}"'))
PYTHON
HF_HUB_OFFLINE=1 env/bin/python -W ignore enforce.py > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
上海 or 广州, wants "上海": "上海"
上海 or 广州, wants "广州": ", then only 上海
any text, wants "上海": "上海"
any text, wants "广州": "广, then only a space or the end
any text, wants "Paris": "Paris"
any text, wants "Zürich": "Zü, then only a space or the end
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
