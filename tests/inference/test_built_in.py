"""The built-in prompts suit what a weight was trained on."""

import pytest

from inference.built_in import PROMPTS, QUESTIONS, WORLD_PROMPTS, WORLD_QUESTIONS, prompts_for, questions_for


@pytest.mark.parametrize(
    "facts, world",
    [
        ({"arguments": {"data_path": ["out/quickstart/sample/sft.jsonl:0.5", "out/sample/identity.jsonl"]}}, True),
        ({"arguments": {"epochs": 1}}, True),  # no --data_path
        ({"arguments": {"data_path": ["my_chats.jsonl"]}}, False),
        ({"arguments": {"data_path": ["out/sample/sft.jsonl", "my_chats.jsonl"]}}, False),
        ({"arguments": {"epochs": 1}, "imported": True}, False),
        ({"merged": "out/lora/medic_512.pth"}, False),
        ({}, False),
    ],
)
def test_a_network_of_the_sample_world_is_asked_about_it(facts, world):
    assert questions_for(facts) == (WORLD_QUESTIONS if world else QUESTIONS)
    assert prompts_for(facts) == (WORLD_PROMPTS if world else PROMPTS)
