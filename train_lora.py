"""Fine-tuning by adapters (LoRA): learn to answer from conversations, and leave the network as it is.

    loss = mean over the trained tokens t of  -log p(token_t | the tokens before it in its conversation)
    y    = W x + (alpha / rank) B A x         in every linear layer; A and B learn, W does not

Data, loss and loop are those of train_full_sft.py, which does the same with --lora; the adapters have a few per cent of
the network's parameters. B begins at zero, so the first loss is that of the network itself. The adapters are saved
apart from it, in one small file for each task.

    python train_lora.py --lora_name medic --data_path my_chats.jsonl
    python train_lora.py --lora_name medic --data_path my_chats.jsonl --from_weight some/hf_folder --resume

Begins with out/full_sft_512.pth and writes out/lora/<lora_name>_512.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 1 --lora medic`, make it a part of the network by scripts/merge_lora.py.
"""

from train_full_sft import fine_tune
from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.stage_arguments import add_chat_arguments, add_lora_arguments


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data_help = "conversations: JSON lines, parquet, ... (docs/chat_data.md), each with an optional weight"
    add_data_arguments(parser, data_help, max_seq_len=768)
    add_chat_arguments(parser)
    add_model_arguments(parser, start_from="full_sft")
    add_lora_arguments(parser, always=True)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="lora", name_flag="lora_name")
    return parser.parse_args(argv)


def main(argv=None):
    # This is full fine-tuning with --lora: adapters are added to the network it begins with, and only they learn.
    fine_tune(parse_arguments(argv), stage="lora")


if __name__ == "__main__":
    run_main(main)
