"""Command lines that cannot be meant, and what is to be said of each."""

# What is wrong | part of the sentence; exit code 2. `{f}` is the folder of good files.
TRAINING = """
--bogus                                     | unknown flag --bogus
--max_seq_length 64                         | did you mean --max_seq_len?
--lr 1e-3                                   | did you mean --learning_rate?
--data-path x                               | did you mean --data_path?
--Epochs 3                                  | did you mean --epochs?
—epochs 3                                   | unknown flag —epochs: a flag begins with two hyphens, --epochs
--data_path {f}/a.jsonl —epochs 3           | —epochs is not a data file: a flag begins with two hyphens, --epochs
--data_path “{f}/a.jsonl”                   | is not a data file: take off the marks beside its name
--data_path {f}/a.jsonl，{f}/b.jsonl，       | is not a data file: take off the marks beside its name
--data_path {f}/a.jsonl：0.7                | its weight follows a plain colon, {f}/a.jsonl:0.7
--data_path {f}/my file.jsonl               | a name with spaces stands in quotes
stray                                       | unexpected argument 'stray'
--epochs                                    | --epochs needs a value
--epochs=                                   | '' is not a whole number
--data_path ''                              | --data_path is empty, as an unset variable is
--epochs 0                                  | 0 is not a whole number of at least 1
--epochs 1.5                                | '1.5' is not a whole number
--epochs many                               | 'many' is not a whole number
--epochs 99999999999999999999               | is more than 2147483647
--max_seq_len 0                             | not a whole number of at least 1
--max_seq_len -5                            | not a whole number of at least 1
--max_seq_len 100000                        | positions: shorten it, or extend a trained network with
--batch_size 1e3                            | '1e3' is not a whole number
--batch_size 99999999999999999999           | is more than 2147483647
--learning_rate 0                           | 0 is not allowed here
--learning_rate -1                          | not a finite number of at least 0
--learning_rate nan                         | not a finite number of at least 0
--learning_rate 1e300                       | not a finite number of at least 0
--learning_rate 1,5                         | '1,5' is not a number
--weight_decay inf                          | not a finite number of at least 0
--adam_beta2 1                              | 1 is not between 0 and 1
--grad_clip nan                             | not a finite number of at least 0
--val_ratio 1                               | 1 is not between 0 and 1
--val_ratio nan                             | nan is not between 0 and 1
--optimizer sgd                             | choose from 'adamw', 'muon'
--schedule linear                           | choose from 'wsd', 'cosine'
--dtype fp16                                | choose from 'auto', 'float32', 'bfloat16', 'float16'
--dtype float16                             | is not for a CPU: choose bfloat16 or float32
--device gpu                                | is not a device: choose auto, cpu, cuda, cuda:1 or mps
--device meta                               | is not supported: choose auto, cpu
--compile yes                               | choose from 'auto', 'on', 'off'
--on_bad_line ignore                        | choose from 'stop', 'skip'
--seed -1                                   | -1 is negative
--warmup_steps -1                           | -1 is negative
--save_interval 0                           | not a whole number of at least 1
--eval_interval -1                          | -1 is negative
--freeze_layers 2                           | leaves nothing to train: the network has 2 layers
--weight_name ../evil                       | '../evil' is not a plain name
--weight_name /tmp/evil                     | '/tmp/evil' is not a plain name
--weight_name a/b                           | 'a/b' is not a plain name
--weight_name a\\b                          | is not a plain name
--weight_name ..                            | '..' is not a plain name
--weight_name ''                            | '' is not a plain name
--weight_name {long}                        | is not a plain name
--from_weight nothing                       | there is no weight called nothing in {f}/out
--from_weight no/where.pth                  | no/where.pth does not exist; there is no folder /
--from_weight ../pretrain                   | does not exist
--from_weight **                            | there is no weight called **
--from_weight [                             | there is no weight called [
--from_weight {long}                        | there is no weight called
--from_weight a --weight_path gone.pth      | --weight_path does not go with --from_weight
--from_weight {f}/start.pth --preset 26m    | --preset 26m makes a new network
--from_weight {f}/start.pth --hidden_size 8 | contradicts {f}/start.pth, which has 32: leave the flag out
--from_weight {f}/start.pth --num_hidden_layers 3 | which has 2: leave the flag out
--config gone.yaml                          | gone.yaml cannot be read (No such file or directory): check the name
--config {f}/gbk.yaml                       | gbk.yaml cannot be read, as it is not UTF-8: save it as UTF-8
--config {f}/open.yaml                      | open.yaml cannot be read: while parsing
--config {f}/list.yaml                      | must hold lines of the form `flag: value`
--config {f}/typo.yaml                      | did you mean --max_seq_len?
--config {f}/type.yaml                      | 'many' is not a whole number
--config {f}/null.yaml                      | max_seq_len takes one value, not ''
--config {f}/nul.yaml                       | out_dir contains a NUL character
--config {f}/binary.yaml                    | binary.yaml cannot be read
--config {f}/deep.yaml                      | cannot be read: maximum recursion depth
--config {f}/hf                             | cannot be read
--data_path                                 | --data_path needs a value
--data_path {f}/{data}:0.5 {f}/{other}      | has no weight, and other files have one: give every file a weight, or none
--data_path {f}/{data}:0                    | a weight must be greater than zero, and finite
--data_path {f}/{data}:-1                   | a weight must be greater than zero, and finite
--data_path {f}/{data}:nan                  | a weight must be greater than zero, and finite
--data_path {f}/{data}:much                 | the weight 'much' is not a number
--data_path {f}/{data} {f}/./{data}         | are the same file: name it once
--data_path {f}/{data} {f}/link_{data}      | are the same file: name it once
--val_path {f}/{data}                       | are the same file: name it once
--data_path {f}/{data} --val_path {f}/{other}:0.5 | takes no weight
--data_path {f}/{data} ''                   | --data_path is empty, as an unset variable is: give it a value
--config ''                                 | --config is empty, as an unset variable is: give it a value
--resume                                    | start without --resume
"""

NEW_NETWORK = """
--weight_path gone.pth                      | gone.pth does not exist
--preset huge                               | unknown preset huge: choose from tiny, 26m
--hidden_size 33                            | hidden_size 33 is not divisible by num_attention_heads 2
--hidden_size 0                             | not a whole number of at least 1
--num_attention_heads 3                     | not divisible by num_attention_heads 3: choose sizes that divide
--num_key_value_heads 3                     | each key/value head serves a whole group
--head_dim 7                                | rotary embedding turns pairs
--num_hidden_layers 0                       | not a whole number of at least 1
--num_hidden_layers 2000000000              | choose a smaller --preset or smaller sizes
--intermediate_size 2000000000              | choose a smaller --preset or smaller sizes
--rope_theta 1                              | must be a finite number above 1
--rope_scaling_factor 4                     | extends a network that is trained: name it with --from_weight
--rope_scaling_factor nan                   | not a finite number
--rope_factor 4                             | did you mean --rope_scaling_factor?
--qk_norm --attention_bias                  | choose one
"""

TOKENIZER = """
--vocab_size 5                              | must be at least 272: the 256 bytes and the special tokens
--vocab_size ten                            | 'ten' is not a whole number
--vocab_size 2000000000                     | must be at most 1,000,000
--vocab 300                                 | did you mean --vocab_size?
--sample_mb 0                               | not a whole number of at least 1
--add 3                                     | belong together
--extend {f}/tokenizer                      | belong together
--extend {f}/tokenizer --add 2000000000     | --add must be at most 1,000,000
--extend gone --add 3                       | there is no weight called gone in out
--extend {f}/gone.gguf --add 3              | gone.gguf does not exist
--on_bad_line no                            | choose from 'stop', 'skip'
--data_path {f}/a.jsonl:0                   | a weight must be greater than zero
"""

TRYING = """
--model_mode 9                              | invalid choice: 9 (choose from 0, 1, 2, 3)
--temperature -1                            | not a finite number of at least 0
--temperature 1e-300 --prompt a             | give 0 (greedy) or a number of at least 0.00001
--top_p 0                                   | 0 is not allowed here
--top_p 1.5 --prompt a                      | give a probability above 0 and at most 1
--top_k -1                                  | -1 is negative
--min_p 1                                   | 1 is not between 0 and 1
--max_new_tokens 0                          | not a whole number of at least 1
--seed 99999999999999999999 --prompt a      | is more than 2147483647
--json                                      | --json is for --data_path, which is not given
--answers                                   | --answers is for --data_path, which is not given
--show 3                                    | --show N shows wrong answers of --answers
--lora_scale 0.5                            | --lora_scale is for --lora, which is not given
--lora_scale -1                             | -1 is not a finite number of at least 0
--save_answers a                            | --save_answers FILE keeps what --answers finds
--data_path {f}/chat_a.jsonl --answers --save_answers= | --save_answers is empty, as an unset variable is
--data_path {f}/chat_a.jsonl --answers --save_answers . | --save_answers . is a folder: name a file in it
--data_path {f}/chat_a.jsonl --answers --resume | --resume goes on with the file of --save_answers
--data_path {f}/chat_a.jsonl --answers --save_answers {f}/file | file exists already, and is left as it is
--system x                                  | --system begins a chat
--no_think                                  | --no_think hides thoughts of a chat
--tools calculator                          | --tools are called in a chat
--model_mode 1 --tools {f}/gone.py          | gone.py: name a Python file, or calculator or lookup
--prompt a --auto_test                      | does not go with --prompt
--hidden_size 64                            | contradicts {f}/start.pth, which has 32
--device tpu                                | is not a device
--weight ../start                           | ../start does not exist
--weight_path {f}/gone.pth                  | gone.pth does not exist; {f} holds
--weight_path {f}/{long}                    | does not exist; {f} holds
--weight_path /dev/null                     | /dev/null is a pipe or a device
--weight *                                  | there is no weight called *
--weight_path ''                            | --weight_path is empty, as an unset variable is: give it a value
--data_path {f}/a.jsonl --max_seq_len 1000  | is more than the 64 positions of the network
--data_path {f}/start.pth                   | is not a data file: its name must end in .jsonl
"""

REASONING = """
--tag_weight 0                              | 0 is not allowed here
--tag_weight -1                             | not a finite number of at least 0
--tag_weight many                           | 'many' is not a number
--tag_wieght 10                             | --tag_weight
--lora_rank 4                               | --lora_rank is for --lora, which is not given
"""

REWARD = """
--loss_type dpo                             | invalid choice: 'dpo'
--loss_type mse                             | --loss_type mse is not for pairs, which the data are
--center -1                                 | not a finite number of at least 0
--hinge_margin 2                            | --hinge_margin means nothing to --loss_type bt
--loss_type hinge --center 1                | --center means nothing to --loss_type hinge
--hinge_margin nan                          | not a finite number of at least 0
--hinge 1                                   | did you mean --hinge_margin?
--lora --freeze_layers 1                    | means nothing to adapters
"""

EXPORT = """
--save_dir ''                               | --weight_path
--weight_path {f}/start.pth                 | missing: --save_dir
--weight_path {f}/start.pth --save_dir {f}/e --dtype int8 | choose from 'float32'
--weight_path {f}/start.pth --save_dir {f}/e --hidden_size 8 | contradicts
--weight_pth {f}/start.pth                  | missing: --weight_path
"""

PREVIEW = """
{f}/a.jsonl --max_seq_len 0                 | must be at least 1
{f}/a.jsonl --examples -1                   | at least 0
{f}/a.xlsx                                  | save the table as CSV
{f}/a.jsonl:0.5                             | a preview is of one file, without a weight: give
"""

# What the command line names cannot be used: exit code 1.
DATA = [
    ("train_pretrain.py", "--val_path {f}/gone.jsonl", "gone.jsonl: there is no such file"),
    ("train_pretrain.py", "--out_dir {f}/file", "Not a directory"),
    ("train_pretrain.py", "--out_dir /dev/null", "choose another folder"),
    ("train_pretrain.py", "--out_dir /proc/sprout", "choose another folder"),
    ("train_pretrain.py", "--out_dir {long}", "File name too long"),
    ("train_pretrain.py", "--tokenizer_path gone", "there is no tokenizer at gone: give a folder"),
    ("train_pretrain.py", "--tokenizer_path {f}/a.jsonl", "is not JSON"),
    ("train_pretrain.py", "--tokenizer_path {f}/start.pth", "cannot be read"),
    ("train_pretrain.py", "--from_weight {f}/chat_a.jsonl", "not a file of torch.save"),
    ("train_pretrain.py", "--from_weight {f}/hf/config.json", "not a file of torch.save"),
    ("train_pretrain.py", "--from_weight {f}/tokenizer", "is not a Hugging Face folder: it has no config.json"),
    ("train_pretrain.py", "--data_path {f}/chat_a.jsonl", "this is a conversation, for train_full_sft.py"),
    ("train_full_sft.py", "--data_path {f}/a.jsonl", "this is a text, for train_pretrain.py"),
    ("train_full_sft.py", "--max_seq_len 4", "--max_seq_len 20 would be the least"),
    ("train_tokenizer.py", "--out_dir {f}/file", "file is not a folder: choose another --out_dir"),
    ("train_tokenizer.py", "--out_dir {f}/file/below", "file is not a folder: choose another --out_dir"),
    ("train_tokenizer.py", "--out_dir /proc/sprout", "choose another folder"),
    ("eval_model.py", "--data_path {f}/gone.jsonl", "there is no such file"),
    ("eval_model.py", "--data_path {f}", "is a folder"),
    ("train_reason.py", "--data_path {f}/a.jsonl", "this is a text, for train_pretrain.py"),
    ("train_reward.py", "--data_path {f}/a.jsonl", "this is a text, for train_pretrain.py"),
    ("train_reward.py", "--max_seq_len 4", "no record has at most 4 tokens in each conversation"),
    ("eval_model.py", "--data_path {f}/a.jsonl --answers", "the record is of another kind"),
    (
        "eval_model.py",
        "--data_path {f}/chat_a.jsonl --answers --save_answers {f}/file/a.jsonl",
        "file is not a folder: choose another --save_answers",
    ),
    ("eval_model.py", "--model_mode 1 --tools {f}/a.jsonl", "a.jsonl has no public function"),
    ("eval_model.py", "--weight_path {f}/a.jsonl", "not a file of torch.save"),
    ("eval_model.py", "--weight_path {f}/tokenizer", "it has no config.json"),
    ("eval_model.py", "--tokenizer_path {f}/hf/config.json", "cannot be used"),
    ("eval_model.py", "--prompt {long}{long}", "leaves none for an answer: shorten the prompt"),
    ("scripts/export_hf.py", "--weight_path {f}/start.pth --save_dir {f}/file", "give a folder to export into"),
    ("scripts/export_hf.py", "--weight_path {f}/start.pth --save_dir {f}", "choose another folder"),
    ("scripts/export_hf.py", "--weight_path {f}/start.pth --save_dir /proc/x", "choose another folder"),
    ("scripts/export_hf.py", "--weight_path {f}/start.pth --save_dir {f}/{long}", "File name too long"),
    ("dataset.preview", "{f}/gone.jsonl", "there is no such file"),
    ("dataset.preview", "{f}", "is a folder"),
    ("dataset.preview", "{f}/a.jsonl --tokenizer_path gone", "there is no tokenizer at gone"),
    ("dataset.preview", "{f}/a.jsonl --kind chat", "the record is of another kind"),
    ("dataset.sample", "--out_dir {f}/file", "choose another --out_dir"),
    ("dataset.sample", "--out_dir /proc/sprout", "choose another --out_dir"),
]

TABLES = {
    "train_pretrain.py": TRAINING + NEW_NETWORK,
    "train_full_sft.py": TRAINING,
    "train_reason.py": REASONING,
    "train_reward.py": REWARD,
    "train_tokenizer.py": TOKENIZER,
    "eval_model.py": TRYING,
    "scripts/export_hf.py": EXPORT,
    "dataset.preview": PREVIEW,
}
USAGE = [
    (script, *map(str.strip, line.rsplit("| ", 1)))
    for script, table in TABLES.items()
    for line in filter(None, table.splitlines())
]
ROWS = [(*row, 2) for row in USAGE] + [(*row, 1) for row in DATA]

CONFIGS = {
    "open": b"a: [\n",
    "list": b"- a\n",
    "typo": b"max_seq_length: 3\n",
    "type": b"max_seq_len: many\n",
    "null": b"max_seq_len:\n",
    "nul": b'out_dir: "a\\0b"\n',
    "deep": b"[" * 5000,
    "binary": b"\xff\xfe",
    "gbk": "# 训练\n".encode("gbk"),
}
