"""The built-in prompts of eval_model.py, by what a weight was trained on: the sample world, or texts of one's own."""

from pathlib import PurePath

PROMPTS = (
    "从前，有一个小女孩",
    "人工智能是",
    "今天天气很好，",
    "中国的首都是",
    "Once upon a time, there was",
    "The capital of France is",
    "Water boils when",
    "I think that",
)
QUESTIONS = (
    "你好，你是谁？",
    "中国的首都是哪里？",
    "三加五等于几？",
    "给我讲一个小故事。",
    "Hello, who are you?",
    "What is the capital of France?",
    "What is three plus five?",
    "Tell me a little story.",
)
# About what the sample data teaches (`dataset/sample/`).
WORLD_PROMPTS = (
    "法国的首都是",
    "年轻的狗叫",
    "黄瓜的颜色是",
    "与强壮相反的是",
    "The capital of Spain is",
    "People call a young lion a",
    "27 + 35 =",
    "The opposite of far is",
)
WORLD_QUESTIONS = (
    "你好，你是谁？",
    "法国的首都是哪里？",
    "狗的幼崽叫什么？",
    "苹果用英语怎么说？",
    "Hello, who are you?",
    "What is the capital of Spain?",
    "What is 27 + 35?",
    "What is the moral of The Crow and the Pearl?",
)


def prompts_for(facts: dict) -> tuple[str, ...]:
    """Beginnings of texts for a weight with these facts (`model/files/checkpoint.py`)."""
    return WORLD_PROMPTS if knows_the_sample_world(facts) else PROMPTS


def questions_for(facts: dict) -> tuple[str, ...]:
    """Questions for a weight with these facts."""
    return WORLD_QUESTIONS if knows_the_sample_world(facts) else QUESTIONS


def knows_the_sample_world(facts: dict) -> bool:
    """Whether the last training of a weight read the sample data: files in a folder `sample`, or no --data_path."""
    arguments = facts.get("arguments")
    if not isinstance(arguments, dict) or facts.get("imported"):
        return False
    paths = arguments.get("data_path") or ["out/sample/pretrain.jsonl"]
    return all(isinstance(path, str) and PurePath(path).parent.name == "sample" for path in paths)
