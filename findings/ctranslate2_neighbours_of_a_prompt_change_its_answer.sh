#!/usr/bin/env bash
# ctranslate2 4.8.5, Python 3.11 (seen 2026-12-01).
# include_prompt_in_result of CTranslate2's Generator says whether a result begins with the prompt. Its documentation
# tells how the prompt is read in both cases, and that False is faster; it changes the answer too. With True, the
# default, the prompt counts as if it had been generated: for repetition_penalty and no_repeat_ngram_size, for
# max_length, and for the length by which the score is divided, so that a score is the better, the longer the prompt
# is. With False, as in generate_tokens, it counts for nothing: words that come one by one are others than those of the
# batch. And where prompts of a batch differ in length, False counts what is longer than the shortest of them. So one
# prompt gets three answers, by what stands beside it, and no sampling is in it. Beside a prompt of one token its result
# even begins with the prompt. No issue was found that says so. Give prompts of one length, or max_batch_size=1.
# Output seen (a network that prefers a to b, b to c and so on, whatever was before; prompt "<s> a b", max_length 6):
#   True: [a b] a a a a, score -1.10
#   False: a a a a a a, score -1.66
#   False beside "<s> b": a a a a a a, score -1.66
#   False beside "<s>": [a b] a a a a, score -1.10
#   repetition_penalty 1.5, generate_tokens: a b c d a a
#   repetition_penalty 1.5, True: [a b] c d a a
#   repetition_penalty 1.5, False: a b c d a a
#   repetition_penalty 1.5, False beside "<s> b": a c d a a a
#   repetition_penalty 1.5, False beside "<s>": [a b] c d a a
#   repetition_penalty 1.5, False beside "<s>", max_batch_size 1: a b c d a a
#   every token has a log probability of -1.66, and -1.10 is 4/6 of it
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet ctranslate2==4.8.5 numpy==2.4.6
cat > "$folder/ask.py" <<'PYTHON'
import math
import os
import sys

import ctranslate2
import numpy
from ctranslate2.specs import common_spec, transformer_spec

words = ["<unk>", "<s>", "</s>", *"abcde"]
preferred = [0.0, 0.0, 0.0, 1.0, 0.9, 0.8, 0.7, 0.6]


def network(path: str) -> ctranslate2.Generator:
    """A Llama of zeros, whose logits are one bias for all places."""
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        1, 1, rms_norm=True, ffn_glu=True, activation=common_spec.Activation.SWISH, rotary_dim=0
    )
    decoder, layer, width = spec.decoder, spec.decoder.layer[0], 8
    decoder.scale_embeddings = False
    decoder.embeddings.weight = numpy.zeros((len(words), width), numpy.float32)
    decoder.projection.weight = numpy.zeros((len(words), width), numpy.float32)
    decoder.projection.bias = numpy.array(preferred, numpy.float32)
    for norm in (decoder.layer_norm, layer.self_attention.layer_norm, layer.ffn.layer_norm):
        norm.gamma = numpy.ones(width, numpy.float32)
    layer.self_attention.linear[0].weight = numpy.zeros((3 * width, width), numpy.float32)
    for linear in (layer.self_attention.linear[1], layer.ffn.linear_0, layer.ffn.linear_0_noact, layer.ffn.linear_1):
        linear.weight = numpy.zeros((width, width), numpy.float32)
    spec.register_vocabulary(words)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "<s>", "</s>", "<unk>"
    spec.validate()
    os.mkdir(path)
    spec.save(path)
    return ctranslate2.Generator(path, compute_type="float32", intra_threads=1)


def expected(counted: str, length: int) -> str:
    """The most likely tokens, by the definition of the penalty, when these tokens count as generated."""
    seen, answer = set(counted), ""
    for _ in range(length):
        logits = {word: logit / 1.5 if word in seen else logit for word, logit in zip(words, preferred, strict=True)}
        answer += max(logits, key=logits.get)
        seen.add(answer[-1])
    return answer


generator, prompt = network(f"{sys.argv[1]}/network"), ["<s>", "a", "b"]
settings, penalty = {"max_length": 6}, {"max_length": 6, "repetition_penalty": 1.5}


def ask(included: bool, *beside: list[str], **given: float) -> tuple[str, float]:
    batch = [prompt, *beside]
    result = generator.generate_batch(batch, include_prompt_in_result=included, return_scores=True, **given)[0]
    return "".join(result.sequences[0]), result.scores[0]


def told(answer: str, with_prompt: bool) -> str:
    return f"[a b] {' '.join(answer[2:])}" if with_prompt else " ".join(answer)


one, two = ["<s>"], ["<s>", "b"]
ways = {"True": (True,), "False": (False,), 'False beside "<s> b"': (False, two), 'False beside "<s>"': (False, one)}
begins = ("True", 'False beside "<s>"')
plain = {name: ask(*way, **settings) for name, way in ways.items()}
for name, (answer, score) in plain.items():
    print(f"{name}: {told(answer, name in begins)}, score {score:.2f}")
singly = "".join(step.token for step in generator.generate_tokens(prompt, **penalty))
punished = {name: ask(*way, **penalty)[0] for name, way in ways.items()}
for name, answer in [("generate_tokens", singly), *punished.items()]:
    print(f"repetition_penalty 1.5, {name}: {told(answer, name in begins)}")
apart = ask(False, one, max_batch_size=1, **penalty)[0]
print(f'repetition_penalty 1.5, False beside "<s>", max_batch_size 1: {told(apart, False)}')
mean = max(preferred) - math.log(sum(map(math.exp, preferred)))
print(f"every token has a log probability of {mean:.2f}, and {plain['True'][1]:.2f} is 4/6 of it")
if [answer for answer, _ in plain.values()] != ["abaaaa", "aaaaaa", "aaaaaa", "abaaaa"]:
    sys.exit("no longer so: the prompt is left out or counted otherwise")
if max(abs(score - part * mean) for (_, score), part in zip(plain.values(), (4 / 6, 1, 1, 4 / 6), strict=True)) > 1e-3:
    sys.exit("no longer so: scores are divided by another length")
nothing, everything, rest = expected("", 6), "ab" + expected("ab", 4), expected("b", 6)
if len({nothing, everything[2:], rest}) < 3 or {singly, apart} != {nothing}:
    sys.exit("no longer so: for a prompt alone, the penalty counts otherwise")
if list(punished.values()) != [everything, nothing, rest, everything]:
    sys.exit("no longer so: the penalty does not depend on what stands beside the prompt")
PYTHON
"$folder/env/bin/python" "$folder/ask.py" "$folder" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
