"""What is wrong with a chosen base, as far as its files tell without loading it."""

import json
from importlib.util import find_spec

from portraitist.bases.sources import Source, find_source, is_fetchable
from portraitist.errors import BadConfig, MissingExtra
from portraitist.requests.choices import BaseChoice
from portraitist.requests.devices import check_device, check_precision

_BITS = (4, 8)
_USUAL_STEP, _LEAST_STEP, _FEWEST_STEPS = 8, 4, 8


def check_base(choice: BaseChoice) -> None:
    """Refuse a base that is not here, and ways to hold it that there are not.

    Raises:
        BadConfig: If there is no such base, device, precision or number of bits, or resolution.
        MissingExtra: If fewer bits need a library that is not installed.
    """
    check_precision(choice.precision)
    check_device(choice.device)
    source = None if choice.name is None or is_fetchable(choice.name) else find_source(choice.name)
    _check_bits(choice.bits)
    if choice.resolution is not None:
        _check_resolution(choice.resolution, source)


def _check_bits(bits: int | None) -> None:
    if bits is None:
        return
    if bits not in _BITS:
        raise BadConfig(f"a base can be held in 8 or 4 bits, not in {bits}")
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "bitsandbytes")


def _check_resolution(resolution: int, source: Source | None) -> None:
    """Refuse a resolution that an autoencoder cannot divide into latents; a family may ask for more."""
    # An adapter's own base is not known yet; no base here has finer latents than this.
    step = _LEAST_STEP if source is None else _scale(source)
    if resolution % step or resolution < _FEWEST_STEPS * step:
        raise BadConfig(
            f"the resolution must be a multiple of {step} and at least {_FEWEST_STEPS * step}, not {resolution};"
            f" the nearest is --resolution {max(_FEWEST_STEPS, round(resolution / step)) * step}"
        )


def _scale(source: Source) -> int:
    """Return how many pixels across become one latent."""
    try:
        config = json.loads((source.path / "vae" / "config.json").read_text())
        return int(2 ** (len(config["block_out_channels"]) - 1))
    except (OSError, ValueError, KeyError, TypeError):
        return _USUAL_STEP
