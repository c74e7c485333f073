"""Flags that do not exist here: those of MiniMind that mean the same are understood, all others get a hint.

One table for each way: `SAME` and `VALUES` are read as our flags, `MEANT` names the flag that was meant, `INSTEAD` says
in a sentence what Sprout does.
"""

import difflib
import sys
from collections.abc import Sequence

from dataset.records.odd_files import DASHES
from model.errors import UsageError

# Flags of MiniMind, of early 2025 and later, and ours with the same meaning.
SAME = {
    "--dim": "--hidden_size",
    "--n_layers": "--num_hidden_layers",
    "--save_dir": "--out_dir",
    "--save_weight": "--weight_name",
    "--student_hidden_size": "--hidden_size",
    "--student_num_layers": "--num_hidden_layers",
    "--from_student_weight": "--from_weight",
    "--from_teacher_weight": "--teacher_weight",
    "--lora_weight": "--lora",
    "--lora_name": "--lora",  # in eval_model.py; train_lora.py has a --lora_name of its own
    "--load_from": "--weight_path",
    "--max_gen_len": "--max_new_tokens",
    "--wandb_project": "--tracker_project",
}
# Values that mean something else than the flag does, or that name what Sprout does anyway.
_NO_MOE = {"0": "", "False": ""}
VALUES = {
    "--from_resume": {"0": "", "1": "--resume"},
    "--use_wandb": {"": "--tracker wandb"},
    "--use_compile": {"0": "--compile off", "1": "--compile on"},
    "--load": {"0": ""},
    "--load_from": dict.fromkeys(("model", "./model", "../model", "model/", "./model/", "../model/"), ""),
    "--lora_weight": {"None": ""},
    "--lora_name": {"None": ""},
    "--use_moe": _NO_MOE,
    "--student_use_moe": _NO_MOE,
    "--teacher_use_moe": _NO_MOE,
    "--open_thinking": {"0": ""},
    "--stream": {"1": "", "True": ""},
    "--show_speed": {"1": ""},
}
# Flags of nanoGPT, transformers, trl and LLaMA-Factory; of several, the first that the script has is named.
MEANT = {
    "--lr": "--learning_rate",
    "--min_lr": "--schedule",
    "--wd": "--weight_decay",
    "--bs": "--batch_size",
    "--seq_len": "--max_seq_len",
    "--block_size": "--max_seq_len",
    "--cutoff_len": "--max_seq_len",
    "--max_length": "--max_seq_len|--max_new_tokens",
    "--max_prompt_length": "--max_seq_len",
    "--max_tokens": "--max_new_tokens|--max_seq_len",
    "--model": "--from_weight|--weight_path",
    "--model_path": "--from_weight|--weight_path",
    "--model_name_or_path": "--from_weight|--weight_path",
    "--ref_model": "--from_weight",
    "--teacher_model_name_or_path": "--teacher_weight",
    "--load": "--weight_path FOLDER|--from_weight FOLDER",  # MiniMind names the folder in its code
    "--load_from": "--weight_path|--from_weight",
    "--from_weight": "--weight_path",
    "--weight": "--from_weight|--weight_path",
    "--init_from": "--from_weight",
    "--tokenizer": "--tokenizer_path",
    "--tokenizer_name": "--tokenizer_path",
    "--tokenizer_name_or_path": "--tokenizer_path",
    "--output": "--out_dir|--save_dir",
    "--output_dir": "--out_dir|--save_dir",
    "--out": "--out_dir|--save_dir",
    "--export_dir": "--save_dir",
    "--ckp_dir": "--out_dir",
    "--checkpoint_dir": "--out_dir",
    "--run_name": "--weight_name|--lora_name",
    "--weight_name": "--lora_name|--weight",
    "--lora_name": "--weight_name",  # where --lora is a switch
    "--data": "--data_path",
    "--dataset": "--data_path",
    "--dataset_name": "--data_path",
    "--dataset_dir": "--data_path",
    "--train_file": "--data_path",
    "--validation_file": "--val_path",
    "--eval_dataset": "--val_path",
    "--val_size": "--val_ratio",
    "--n_layer": "--num_hidden_layers",
    "--num_layers": "--num_hidden_layers",
    "--depth": "--num_hidden_layers",
    "--n_head": "--num_attention_heads",
    "--n_heads": "--num_attention_heads",
    "--n_kv_head": "--num_key_value_heads",
    "--n_kv_heads": "--num_key_value_heads",
    "--n_embd": "--hidden_size",
    "--d_model": "--hidden_size",
    "--bias": "--attention_bias",
    "--max_iters": "--max_steps",
    "--max_train_steps": "--max_steps",
    "--num_train_epochs": "--epochs",
    "--num_epochs": "--epochs",
    "--warmup_iters": "--warmup_steps",
    "--warmup_ratio": "--warmup_steps",
    "--lr_scheduler_type": "--schedule",
    "--lr_decay_iters": "--schedule",
    "--decay_lr": "--schedule",
    "--per_device_train_batch_size": "--batch_size",
    "--per_device_eval_batch_size": "--batch_size",
    "--device_batch_size": "--batch_size",
    "--micro_batch_size": "--batch_size",
    "--gradient_accumulation_steps": "--accumulation_steps",
    "--gradient_checkpointing": "--activation_checkpointing",
    "--max_grad_norm": "--grad_clip",
    "--optim": "--optimizer",
    "--beta2": "--adam_beta2",
    "--save_steps": "--save_interval",
    "--logging_steps": "--log_interval",
    "--report_to": "--tracker",
    "--use_wandb": "--tracker wandb",
    "--wandb_log": "--tracker wandb",
    "--use_swanlab": "--tracker swanlab",
    "--eval_steps": "--eval_interval",
    "--resume_from_checkpoint": "--resume",
    "--bf16": "--dtype bfloat16",
    "--fp16": "--dtype float16",
    "--torch_dtype": "--dtype",
    "--torch_compile": "--compile on",
    "--lora_r": "--lora_rank",
    "--lora_target": "--lora_targets",
    "--lora_target_modules": "--lora_targets",
    "--adapter_name_or_path": "--lora",
    "--use_peft": "--lora",
    "--finetuning_type": "--lora",
    "--inference_rope_scaling": "--rope_scaling_factor",
    "--rope_scaling": "--rope_scaling_factor",
    "--rope_factor": "--rope_scaling_factor",
    "--freeze_trainable_layers": "--freeze_layers",
    "--pref_beta": "--beta",
    "--pref_loss": "--loss_type",
    "--pref_ftx": "--sft_weight",
    "--rp": "--repetition_penalty",
    "--max_context": "--max_seq_len",
    "--num_samples": "--examples",
    "--num_generations": "--group_size",
    "--reward_model_path": "--reward_weight|--reward",
    "--reward_model": "--reward_weight|--reward",
    "--reward_funcs": "--reward",
    "--critic_learning_rate": "--critic_rate",
    "--beta": "--kl_coef",
    "--init_kl_coef": "--kl_coef",
    "--lam": "--gae_lambda",
    "--clip_epsilon": "--clip|--clip_low",
    "--epsilon": "--clip|--clip_low",
    "--epsilon_high": "--clip_high|--clip",
    "--delta": "--dual_clip",
    "--cliprange": "--clip|--clip_low",
    "--cliprange_value": "--clip_value",
    "--ppo_update_iters": "--inner_epochs",
    "--num_ppo_epochs": "--inner_epochs",
    "--num_iterations": "--inner_epochs",
    "--num_mini_batches": "--mini_batches",
    "--early_stop_kl": "--stop_kl",
    "--max_completion_length": "--max_new_tokens",
    "--max_total_len": "--max_seq_len",
    "--mask_truncated_completions": "--mask_truncated",
    "--debug_mode": "--sample_interval",
    "--debug_interval": "--sample_interval",
}
_PROCESSES = "a run that torchrun --nproc_per_node N starts takes N GPUs by itself: leave it out"
_EXPERTS = "a mixture of experts begins with --preset moe or --num_experts 8, and a weight knows its own: leave it out"
_AHEAD = "batches are read from a memory-mapped cache and made ahead of the GPU: leave it out"
_TEACHER = "the teacher's file says its sizes: leave it out"
_REINFORCEMENT = "it belongs to reinforcement learning, which train_ppo.py and train_grpo.py do: leave it out"
_ROLLOUTS = "the network that learns samples its answers itself: leave it out"
_ALWAYS = "text is shown as it comes, and its speed after it: leave it out"
INSTEAD = {
    "--use_moe": _EXPERTS,
    "--student_use_moe": _EXPERTS,
    "--teacher_use_moe": _EXPERTS,
    "--ddp": _PROCESSES,
    "--local_rank": _PROCESSES,
    "--num_workers": _AHEAD,
    "--dataloader_num_workers": _AHEAD,
    "--teacher_hidden_size": _TEACHER,
    "--teacher_num_layers": _TEACHER,
    "--use_mla": "attention of Sprout is grouped-query: leave it out, and choose --num_key_value_heads",
    "--open_thinking": "a network that train_reason.py trained thinks by itself, and --no_think hides it: leave it out",
    "--historys": "a chat remembers what fits into --max_seq_len: leave it out",
    "--history_cnt": "a chat remembers what fits into --max_seq_len: leave it out",
    "--stream": _ALWAYS,
    "--show_speed": _ALWAYS,
    "--dropout": "a new network has no dropout, adapters have --lora_dropout: leave it out",
    "--packing": "rows are always packed, and what shares a row does not see each other: leave it out",
    "--template": "the weight's own chat template is taken: leave it out",
    "--stage": "each stage is a script of its own, such as train_full_sft.py: leave it out",
    "--do_train": "a training script trains: leave it out",
    "--deepspeed": "Sprout trains without DeepSpeed: leave it out",
    "--overwrite_output_dir": "earlier results are kept in <out_dir>/earlier: leave it out",
    "--load_in_4bit": "weights are not quantized in training; --lora or --fit saves memory: leave it out",
    "--quantization_bit": "weights are not quantized in training; --lora or --fit saves memory: leave it out",
    "--attn_implementation": "PyTorch's fused attention is taken: leave it out",
    "--trust_remote_code": "a folder's code is never run: leave it out",
    "--importance_sampling_level": "--loss_type gspo has one ratio for an answer: leave it out",
    "--update_old_actor_freq": "answers are sampled anew in every step: leave it out",
    "--thinking_ratio": "prompts are asked as they stand: leave it out",
    "--vf_coef": "the critic has an optimizer of its own, of the rate --critic_rate: leave it out",
    "--rollout_engine": _ROLLOUTS,
    "--sglang_base_url": _ROLLOUTS,
    "--sglang_model_path": _ROLLOUTS,
    "--sglang_shared_path": _ROLLOUTS,
    "--use_vllm": _ROLLOUTS,
} | dict.fromkeys(
    (
        *("--num_generations", "--reward_model_path", "--critic_learning_rate", "--kl_coef", "--lam", "--clip_epsilon"),
        *("--epsilon", "--epsilon_high", "--cliprange_value", "--ppo_update_iters", "--early_stop_kl"),
    ),
    _REINFORCEMENT,
)


def read_again(parser, words: list[str] | None, kind: type):
    """Parses `words`, in which a flag is unknown, with MiniMind's flags in our names; words: None: of this process.

    A list is changed in place, so that who parses it once more finds our names. kind: of the namespace. Raises
    `UsageError` for a flag that is still unknown.
    """
    actions = parser._option_string_actions
    flags, valued = list(actions), [name for name, action in actions.items() if action.nargs != 0]
    ours = in_our_names(sys.argv[1:] if words is None else words, flags, valued)
    known, unknown = parser.parse_known_args(ours, None if kind is type(None) else kind())
    if unknown:
        raise UsageError(sentences_about(unknown, flags))
    if isinstance(words, list):
        words[:] = ours
    return known


def in_our_names(words: Sequence[str], flags: Sequence[str], valued: Sequence[str]) -> list[str]:
    """The command line with the flags of MiniMind that mean the same as one of `flags`; says which they are.

    valued: those of `flags` that take a value.
    """
    ours, said, left = [], [], list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        name = _spelling(name)
        followed = bool(equals) or (bool(left) and not left[0].startswith("--"))
        if followed and not equals:
            value = left[0]
        read = VALUES.get(name, {}).get(value) if name not in flags else None
        if read is None and name not in flags and followed and SAME.get(name) in valued:
            read = f"{SAME[name]} {value}"
            ours += [SAME[name], value]
        elif read is None or (read and read.split()[0] not in flags):
            ours.append(word)
            continue
        else:
            ours += read.split()
        if followed and not equals:
            left.pop(0)
        said.append(f"{f'{name} {value}'.strip()} as {read or 'no flag'}")
    if said:
        print(f"MiniMind's flags are read as ours: {', '.join(said)}", file=sys.stderr, flush=True)
    return ours


def sentences_about(unknown: Sequence[str], flags: Sequence[str]) -> str:
    """What is said of the words that a parser does not know: of a stray one at the beginning, else of every flag."""
    first, *others = dict.fromkeys(unknown)
    others = [flag for flag in others if flag.startswith("--") and first.startswith("-")]
    said = [sentence_about(first, flags), *(f"also {sentence_about(flag, flags)}" for flag in others)]
    return "; ".join(said) if others else said[0]


def sentence_about(flag: str, flags: Sequence[str]) -> str:
    """What is said of a flag that is not among `flags`: the one that was meant, or what Sprout does instead."""
    if flag.startswith(tuple(DASHES)):
        return f"unknown flag {flag}: a flag begins with two hyphens, --{flag.lstrip(DASHES + '-')}"
    if not flag.startswith("-"):
        is_weight = "--weight" in flags and (flag.endswith(".pth") or not set(flag) & set("./\\"))  # a name is plain
        where = "--weight" if is_weight else "--data_path"
        hint = f": values follow a flag such as {where}" if where in flags else ""
        return f"unexpected argument {flag!r}{hint} (see --help)"
    name = _spelling(flag.split("=")[0])
    for meant in [*MEANT.get(name, "").split("|"), SAME.get(name, "")]:
        if meant and meant.split()[0] in flags:
            return f"unknown flag {flag}: did you mean {meant}?"
    if name in INSTEAD:
        return f"unknown flag {flag}: {INSTEAD[name]}"
    close = difflib.get_close_matches(name, flags, n=1)
    return f"unknown flag {flag}" + (f": did you mean {close[0]}?" if close else " (see --help)")


def _spelling(flag: str) -> str:
    return flag.lower().replace("-", "_").replace("__", "--", 1)
