"""``portraitist prepare``: photos as people have them to photos worth training on."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.reporting import fact, warn
from portraitist.errors import BadConfig, BadPhoto, MissingExtra
from portraitist.units import first_few

_OFF = "0 switches this check off."


def prepare(
    photos: Annotated[list[Path], typer.Argument(help="A folder of photos, or several pictures.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write; must be new or empty.")],
    size: Annotated[int, typer.Option(min=1, help="The base's resolution in pixels; 1024 for SDXL and FLUX.1.")] = 512,
    sharpness: Annotated[
        float, typer.Option("--least-sharpness", min=0, help=f"Drop photos whose sharpness is below this. {_OFF}")
    ] = 0.02,
    share: Annotated[
        float,
        typer.Option("--least-share", min=0, max=1, help=f"The same, as a fraction of the median. {_OFF}"),
    ] = 0.125,
    likeness: Annotated[
        float,
        typer.Option(
            "--least-likeness",
            min=0,
            max=1,
            help=f"Drop photos that resemble the others less than this, where 1 is typical; needs four photos. {_OFF}",
        ),
    ] = 0.75,
    trim: Annotated[bool, typer.Option("--trim", help="Crop uniform bars off the edges of photos.")] = False,
    keep_similar: Annotated[bool, typer.Option("--keep-similar", help="Keep near-duplicates.")] = False,
    detector: Annotated[
        str | None,
        typer.Option(help="A face detector: YuNet's ONNX file. Keeps the photos of the person who appears most often."),
    ] = None,
    face_encoder: Annotated[
        str | None, typer.Option(help="A face recognition network: an ArcFace ONNX file with 112 x 112 inputs.")
    ] = None,
    face_likeness: Annotated[
        float, typer.Option(min=-1, max=1, help="Cosine similarity above which two faces count as the same person.")
    ] = 0.4,
    person: Annotated[Path | None, typer.Option(help="A picture of the person to keep, alone.")] = None,
    crop: Annotated[bool, typer.Option("--crop", help="Crop to the face, with a margin around it.")] = False,
    margin: Annotated[
        float, typer.Option(min=0, help="Margin around a cropped face, as a multiple of its longer side.")
    ] = 0.75,
    captioner: Annotated[
        Path | None,
        typer.Option(help="Folder of an image-to-text model (BLIP, GIT): writes captions for photos that have none."),
    ] = None,
    class_noun: Annotated[
        str, typer.Option("--class", help="The subject's noun, such as cat: captions then have {} in its place.")
    ] = "",
) -> None:
    """Drop photos that are unreadable, tiny, blurred, duplicates or of something else; show why on a sheet."""
    if (detector is None) != (face_encoder is None):
        raise BadConfig("faces need two networks: --detector finds them, --face-encoder identifies them")
    if detector is None and (crop or person is not None):
        raise BadConfig("--crop and --person work on faces, so they need --detector and --face-encoder")
    if class_noun and captioner is None:
        raise BadConfig("--class is for the captions that --captioner writes")
    for path in (*photos, *([person] if person else [])):
        if not path.exists():
            raise BadPhoto(f"{path} does not exist; give a folder of photos, or pictures")

    from portraitist.files import require_unused, require_writable
    from portraitist.locks import output_held
    from portraitist.preparation import Criteria, write_prepared
    from portraitist.preparation import prepare as decide

    require_unused(output, folder=True)
    require_writable(output.resolve().parent)
    finder = None
    if detector is not None and face_encoder is not None:
        from portraitist.evaluation.encoders import load_encoder
        from portraitist.evaluation.faces import load_detector
        from portraitist.preparation.people import FaceFinder

        finder = FaceFinder(load_detector(detector), load_encoder(face_encoder), face_likeness)
    bits = {"phash": -1, "dhash": -1} if keep_similar else {}
    criteria = Criteria(size, sharpness, share, likeness=likeness, trim=trim, crop=crop, margin=margin, **bits)
    encoder = None
    if finder is None and likeness > 0:  # faces tell people apart better than a look at the whole photo does
        from portraitist.evaluation.encoders import load_encoder

        try:
            encoder = load_encoder("efficientnet-lite0")
        except MissingExtra as error:
            warn(f"photos of something else cannot be detected: {error}")
    speaker = None
    if captioner is not None:
        from portraitist.preparation.captioning import caption, load_captioner

        speaker = load_captioner(captioner)
    with output_held(output, "the preparing of photos", lambda: require_unused(output, folder=True)):
        prepared = decide(photos, criteria, finder, person, encoder)
        captions = {} if speaker is None else caption(prepared, speaker, class_noun)
        write_prepared(prepared, output, captions)
    for decision in prepared.decisions:
        if not decision.is_kept:
            warn(f"dropped: {decision.path.name} is {decision.why}")
        elif decision.borders is not None:
            warn(
                f"{decision.path.name} has uniform bars at its edges, which would be learnt; crop them off with --trim"
            )
    fact("kept", f"{len(prepared.kept)} of {len(prepared.decisions)} photos")
    if captioner is not None:
        fact("captions", f"{len(captions)} written; train with --set photos.captions=true")
        if unnamed := [path.name for path, text in captions.items() if class_noun and "{}" not in text]:
            warn(f"captions that do not name a {class_noun} follow the prompt: {first_few(unnamed)}")
    fact("written", str(output))
    fact("decisions", f"{output / 'report' / 'sheet.png'}, {output / 'prepared.json'}")
