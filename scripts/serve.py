"""Serve weights by OpenAI's interface, with a chat page: http://127.0.0.1:8998

    python scripts/serve.py                                        # the best weight in out/, and the others by name
    python scripts/serve.py --weight full_sft --port 9000
    python scripts/serve.py --host 0.0.0.0 --api_key "$KEY"        # for other machines; they need the key

The best is the first of chat, grpo, ppo, dpo, rlhf, reason, full_sft, merged, distill, pretrain that is there, else
the newest. A request may name any other weight of the folder. Requests are answered together, in one running batch.
"""

import contextlib
import errno
import logging
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import count, positive_int
from inference.arguments import add_weight_arguments, refuse_scale_of_nothing
from inference.terminal import say
from model.errors import UsageError
from training.stages.arguments import StageParser, add_size_arguments, run_main, size_overrides

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("server")
    group.add_argument(
        "--host", default="127.0.0.1", help="another than this machine's own needs --api_key (%(default)s)"
    )
    group.add_argument("--port", type=count, default=8998, help="0: a free one (%(default)s)")
    group.add_argument("--api_key", metavar="KEY", help="what clients must know")
    group.add_argument("--batch_size", type=positive_int, default=16, help="texts written at a time (%(default)s)")
    group.add_argument("--queue", type=positive_int, default=256, help="texts that may wait (%(default)s)")
    group.add_argument("--max_body", type=positive_int, default=4, metavar="MB", help="of a request (%(default)s)")
    group.add_argument("--max_seconds", type=positive_int, default=600, help="for a request (%(default)s)")
    group.add_argument(
        "--max_seq_len", type=positive_int, default=4096, help="tokens of a prompt and its answer (%(default)s)"
    )
    group.add_argument(
        "--max_new_tokens", type=positive_int, default=1024, help="of an answer, if a chat names no limit (%(default)s)"
    )
    add_size_arguments(add_weight_arguments(parser, "the best one there").add_argument)
    args = parser.parse_args(argv)
    if args.host not in LOOPBACK and not args.api_key:
        raise UsageError(f"--host {args.host} lets other machines in: give --api_key KEY, which they must know")
    key = args.api_key
    if key is not None and not (key.isascii() and key.isprintable() and key == key.strip() != ""):
        raise UsageError("--api_key needs plain letters and digits, at least one, and no blank or line end around them")
    if args.port >= 65536:
        raise UsageError(f"--port {args.port}: give a number from 0 to 65535")
    refuse_scale_of_nothing(args)
    return args


def listening(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen from now on, so that no other program takes the port while the network is read.

    There is one for each address of the host: `localhost` is 127.0.0.1 and ::1, and a program tries either first.
    Raises `UsageError` for an address at which nothing can answer.
    """
    found, missing = [], None
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, *_, (name, _, *scope) in dict.fromkeys(addresses):
            try:
                found.append(socket.create_server((name, port, *scope), family=family))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # as ::1 where IPv6 is turned off
            else:
                port = port or found[0].getsockname()[1]
        if not found:
            raise missing
    except OSError as error:
        for each in found:
            each.close()
        reason = str(error.strerror).partition(" (while")[0]  # Python repeats the address
        fault = f"nothing can listen at {host}, port {port} ({reason}): give another --host or --port"
        if error.errno == errno.EADDRINUSE:
            fault = f"port {port} is taken by another program: give another --port, or 0 for any free one"
        raise UsageError(fault) from error
    for each in found:
        # Without it a small packet waits for the one before to be acknowledged: 40 ms. asyncio sets it for its own.
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def main(argv=None) -> None:
    args = parse_arguments(argv)
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks Linux for huge pages: a CPU reads weights faster
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f'a server needs {error.name}, which is not installed: pip install -e ".[serve]" brings it'
        ) from error
    with contextlib.ExitStack() as closing:
        listens = [closing.enter_context(each) for each in listening(args.host, args.port)]
        serve_at(listens, args)


def serve_at(listens: list[socket.socket], args) -> None:
    """Opens the network, and answers at these sockets, which have one port, until Ctrl-C."""
    # Imported after the arguments, so that --help and a wrong flag answer at once.
    import uvicorn

    from inference.server.app import Limits, Server
    from inference.server.shelf import Shelf, best_weight, serve
    from inference.weights import name_of, open_network
    from model.device import choose_device

    device = choose_device(args.device, args.dtype)
    if not (args.weight or args.weight_path or args.lora):
        args.weight_path = best_weight(args.out_dir)
    loaded = open_network(args, "", device, size_overrides(args), say)
    name = name_of(Path(loaded.source).resolve()) + (f"+{name_of(args.lora)}" if args.lora else "")
    first = serve(name, loaded, device, args.dtype, args.max_seq_len)
    limits = Limits(args.batch_size, args.queue, args.max_body * 2**20, args.max_seconds, args.max_new_tokens)
    server = Server(Shelf(first, args.out_dir, device, args.dtype, args.max_seq_len), limits, args.api_key)
    settings = {"log_level": "warning", "access_log": False, "timeout_graceful_shutdown": 2}

    class Announced(uvicorn.Server):
        async def startup(self, sockets=None) -> None:
            await super().startup(sockets)
            if self.started:
                where = f"[{args.host}]" if ":" in args.host else args.host
                url = f"http://{where}:{listens[0].getsockname()[1]}"
                say(f"{name}: a chat page at {url}, OpenAI's interface at {url}/v1; Ctrl-C ends")

        async def shutdown(self, sockets=None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a traceback for each request it cuts off
            server.end()
            await super().shutdown(sockets)

    try:
        Announced(uvicorn.Config(server.app, **settings)).run(listens)
    except KeyboardInterrupt:  # uvicorn raises it again once it has ended
        say("ended")


if __name__ == "__main__":
    run_main(main)
