"""datatrove's local pipeline as FineWeb is made with it, on the files in FOLDER/input; `prepare.py` times it.

python -m scripts.benchmark.datatrove_pipeline FOLDER PROCESSES
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from a checkout as it stands

from dataset.command_line import CommandParser, positive_int, run_main


def main(argv=None) -> None:
    parser = CommandParser(__doc__)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("processes", type=positive_int, metavar="PROCESSES")
    args = parser.parse_args(argv)
    run_pipeline(args.folder, args.processes)


def run_pipeline(folder: str, processes: int) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.formatters import FTFYFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    def run(tasks: int, workers: int, *pipeline) -> None:
        settings = {"tasks": tasks, "workers": workers, "skip_completed": False}
        LocalPipelineExecutor(list(pipeline), logging_dir=f"{folder}/logs", **settings).run()

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    filtered = f"{folder}/filtered"
    run(
        processes,
        processes,
        JsonlReader(f"{folder}/input"),
        FTFYFormatter(),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        JsonlWriter(filtered, "${rank}.jsonl", compression=None),
    )
    run(processes, processes, JsonlReader(filtered), MinhashDedupSignature(f"{folder}/signatures", config=config))
    run(14, processes, MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config))
    run(1, 1, MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config))
    run(
        processes,
        processes,
        JsonlReader(filtered),
        MinhashDedupFilter(f"{folder}/remove"),
        JsonlWriter(f"{folder}/kept", "${rank}.jsonl", compression=None),
    )


if __name__ == "__main__":
    run_main(main)
