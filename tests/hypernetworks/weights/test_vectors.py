"""Many LoRAs, few of them in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_weights import layout, loras

from portraitist.adapters import Adapter
from portraitist.hypernetworks.difflora.codecs import PrincipalCodec
from portraitist.hypernetworks.difflora.settings import PrincipalSettings
from portraitist.hypernetworks.weights import vectors as module
from portraitist.hypernetworks.weights.statistics import Standard
from portraitist.hypernetworks.weights.vectors import WeightVectors


def test_a_file_holds_what_memory_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form, known = layout(), loras(7)
    asked: list[range] = []

    def banks(part: range) -> Adapter:
        asked.append(part)
        return form.bank(known[part.start : part.stop])

    held = WeightVectors.gather(form, 7, banks, tmp_path / "loras")
    monkeypatch.setattr(module, "_PART", 3 * 4 * form.count)
    mapped = WeightVectors.gather(form, 7, banks, tmp_path / "loras", small=0)
    assert asked == [range(7), range(3), range(3, 6), range(6, 7)]
    assert [(rows.start, len(part)) for rows, part in mapped.parts()] == [(0, 3), (3, 3), (6, 1)]
    torch.testing.assert_close(mapped[[6, 2]], held[np.array([6, 2])], rtol=0, atol=0)
    again = WeightVectors.gather(form, 7, banks, tmp_path / "loras", small=0)
    assert len(again) == 7
    assert len(asked) == 4, "what is there is not read again"


def test_what_is_taken_part_by_part_is_what_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    form, known = layout(), loras(20)
    found = []
    for part in (2**20, 3 * 4 * form.count):
        monkeypatch.setattr(module, "_PART", part)
        standard = Standard(form)
        standard.fit(WeightVectors(known))
        codec = PrincipalCodec(PrincipalSettings(kind="principal", ratio=24), form.count)
        codec.fit(WeightVectors(known).changed(standard.standardise))
        found.append((standard.mean, standard.deviation, codec.decode(codec.encode(standard.standardise(known)))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


# Three times as many bytes of LoRAs as the process may have of its own from the moment on at which it begins.
_LIMITED = """
import resource, sys
from pathlib import Path
import torch
from portraitist.adapters import LayerSpec
from portraitist.adapters.spec import Kind
from portraitist.hypernetworks.difflora.codecs import build_codec
from portraitist.hypernetworks.difflora.losses import reconstruction_losses
from portraitist.hypernetworks.difflora.settings import ConvolutionSettings
from portraitist.hypernetworks.weights import vectors
from portraitist.hypernetworks.weights.changes import compare
from portraitist.hypernetworks.weights.layout import WeightLayout
from portraitist.hypernetworks.weights.statistics import Standard

torch.set_num_threads(1)
vectors._PART = 2**21
layout = WeightLayout([LayerSpec(f"unet.{n}", Kind.LINEAR, (2500, 2500)) for n in range(4)], 4)
count, most = 640, 64 * 2**20
assert 4 * count * layout.count > 3 * most
settings = ConvolutionSettings(kind="convolutions", channels=(2, 2, 2, 2))
torch.manual_seed(0)
codec, standard = build_codec(settings, layout), Standard(layout)
optimizer = torch.optim.AdamW(codec.parameters(), 1e-2)
own = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (own + most, own + most))
try:
    torch.ones(count, layout.count)
except RuntimeError:
    print("all of them do not fit")
banks = lambda part: layout.bank(torch.randn(len(part), layout.count))
loras = vectors.WeightVectors.gather(layout, count, banks, Path(sys.argv[1]) / "loras", small=0)
standard.fit(loras)
for step in range(3):
    known = standard.standardise(loras[[step, count - 1 - step]])
    losses = reconstruction_losses(settings, layout, standard, codec.decode(codec.encode(known)), known)
    losses["loss"].backward()
    optimizer.step()
    optimizer.zero_grad()
error = sum(float(compare(layout, part, part).error.sum()) for _, part in loras.parts())
print(len(loras), error < 1e-3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_more_loras_are_learnt_from_than_memory_holds(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["all of them do not fit", "640 True"], ended.stderr
