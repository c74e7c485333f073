"""Warnings about conversations that should teach a network to think."""

IDS_AT_ONCE = 2**21


def warnings_about_thoughts(rows, think_ids: list[int]) -> list[str]:
    """rows: the `dataset.rows.rows.Rows` of conversations. think_ids: those of the tags, as in
    `dataset.rendering.ChatRenderer`.
    """
    if len(think_ids) < 2:
        return [
            "the tokenizer has no tokens <think> and </think>, so thoughts are taught with tags spelled as text, and"
            " --tag_weight weighs nothing: begin with a network that has them"
        ]
    if not any(_contains(stream, think_ids[0]) for stream in rows.packed.streams):
        return [
            "no answer thinks first, so nothing but answering is taught: give a file with `reasoning_content` beside"
            " the content, or <think>...</think> before it; or use train_full_sft.py"
        ]
    return []


def _contains(stream, token: int) -> bool:
    """Whether a stream of conversations has the control token, a few MB of it at a time."""
    ids = stream.map().ids
    return any((ids[start : start + IDS_AT_ONCE] == token).any() for start in range(0, len(ids), IDS_AT_ONCE))
