"""The sample data: a small world in English and Chinese, to try every stage on, made from files that anyone can edit.

`tables/*.txt` say what there is in the world; `wordings/<language>/*.yaml` say how it is put into words. The modules
compose them: `world` draws the world from a seed and says what is held out, `documents` writes the texts to pretrain
on, others write conversations, preferences, reasoning and prompts, and `files` writes the files that stages read.

Only what uses the sample data imports this folder. It imports `model` and `dataset.command_line`, nothing else of ours.
"""
