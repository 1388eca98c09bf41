"""Packets: weights and small files of several stages in few files of bounded size, to carry them between machines.

A packet is a folder of safetensors shards. Optimiser states stay behind: a run that starts from one warms up again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.errors import BadFile
from portraitist.files import write_aside

SHARD_BYTES = 15 * 2**20
_NAME = "packet-{:02d}.safetensors"


def write_packet(folder: Path, tensors: Mapping[str, Tensor], limit: int = SHARD_BYTES) -> list[Path]:
    """Write tensors into shards of at most `limit` bytes, floating ones in float16; older shards are replaced.

    Returns:
        The shards.
    """
    paths = []
    for number, shard in enumerate(_shards(tensors, limit)):
        paths.append(folder / _NAME.format(number))
        with write_aside(paths[-1]) as temporary:
            save_file(shard, temporary)
    for path in folder.glob(_NAME.format(0).replace("00", "*")):
        if path not in paths:
            path.unlink()
    return paths


def read_packet(folder: Path) -> dict[str, Tensor]:
    """Read what `write_packet` wrote.

    Raises:
        BadFile: If there is none, or a shard is damaged.
    """
    paths = sorted(folder.glob(_NAME.format(0).replace("00", "*")))
    if not paths:
        raise BadFile(f"{folder} holds no weights ({_NAME.format(0)}, ...); name the folder that a run returned")
    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                tensors |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            raise BadFile(f"{path} cannot be read ({error}); fetch it again") from error
    return tensors


def file_tensor(path: Path) -> Tensor:
    """Return a small file's bytes as a tensor."""
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)


def tensor_file(tensor: Tensor, path: Path) -> None:
    """Write a file that `file_tensor` read."""
    with write_aside(path) as temporary:
        temporary.write_bytes(tensor.numpy().tobytes())


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        carried = (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        if shard and size + carried.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = carried
        size += carried.nbytes
    if shard:
        yield shard
