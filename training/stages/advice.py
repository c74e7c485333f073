"""What is worth a warning about the data before a night of training."""

MANY_COPIES = 0.05  # of the documents
MANY_CUT = 0.1  # of the conversations
FEW_TRAINED = 0.1  # of the tokens
# UTF-8 bytes of text that a token stands for; English and Chinese have more than 3 with a tokenizer made for them, and
# 1 where it knows nothing of them. Tables of numbers have few as well: each digit is a token.
FEW_BYTES = 1.7
IDS_AT_ONCE = 2**21


def about_cache(cache) -> list[str]:
    """Warnings about a file, whatever is made of it; `cache` is one of `dataset.cache.token_cache.build_or_open`."""
    warnings = []
    if cache.copies > MANY_COPIES:
        warnings.append(
            f"about {cache.copies:.0%} of {cache.source} are copies of other lines in it: what is seen several times is"
            " learned by heart; leave copies out if they are not meant"
        )
    if cache.bytes_per_token < FEW_BYTES:
        warnings.append(
            f"the tokenizer has only {cache.bytes_per_token:.2f} bytes a token on {cache.source}: it may not know the"
            " language; train one on your text, or extend it (docs/tokenizer.md)"
        )
    return warnings


def about_chats(kept, source, longest: int) -> list[str]:
    """Warnings about what rows keep of a file of conversations.

    kept: a `dataset.rows.chats.Kept`. longest: tokens of the longest conversation.
    """
    warnings, conversations = [], len(kept.lengths)
    cut = kept.after_turn + kept.inside_turn + kept.left_out
    if cut > MANY_CUT * conversations:
        warnings.append(
            f"{cut / conversations:.0%} of the conversations in {source} are cut or left out: raise --max_seq_len"
            f" ({longest - 1:,} cuts none), or look at them with python -m dataset.preview"
        )
    if kept.positions and kept.trained < FEW_TRAINED * kept.positions:
        warnings.append(
            f"only {kept.trained / kept.positions:.1%} of the tokens of {source} are trained: the answers are short, or"
            " not marked as the assistant's; look at them with python -m dataset.preview"
        )
    return warnings


def about_thoughts(rows, think_ids: list[int]) -> list[str]:
    """Warnings about a file of conversations that is to teach thinking.

    rows: a `dataset.rows.chats.ChatRows`. think_ids: those of the tags, of `dataset.rendering.ChatRenderer`.
    """
    if len(think_ids) < 2:
        return [
            "the tokenizer has no tokens <think> and </think>, so thoughts are taught with tags spelled as text, and"
            " --tag_weight weighs nothing: begin with a network that has them"
        ]
    if not any(_contains(stream, think_ids[0]) for _, _, stream in rows.packed.files()):
        return [
            "no answer thinks first, so nothing but answering is taught: give a file with `reasoning_content` beside"
            " the content, or <think>...</think> before it; or use train_full_sft.py"
        ]
    return []


def _contains(stream, token: int) -> bool:
    """Whether a stream of conversations has the control token, a few MB of it at a time."""
    ids = stream.map().ids
    return any((ids[start : start + IDS_AT_ONCE] == token).any() for start in range(0, len(ids), IDS_AT_ONCE))
