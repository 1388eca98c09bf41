"""What every page shares: the templates, and pictures inside the page."""

import base64
import io

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from portraitist.photos import encode_png
from portraitist.units import in_bytes, in_time

# Pictures up to this side are shown enlarged with square pixels, and embedded without loss.
_SMALL = 128


def template_environment() -> Environment:
    """Return the environment of the templates, with filters for pictures, durations and sizes."""
    environment = Environment(
        loader=PackageLoader("portraitist.studies.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["picture"] = embed_picture
    environment.filters["duration"] = in_time
    environment.filters["size"] = in_bytes
    return environment


def embed_picture(image: Image.Image, description: str) -> Markup:
    """Return an ``img`` element with the picture inside."""
    small = max(image.size) <= _SMALL
    data = base64.b64encode(encode_png(image) if small else _encode_jpeg(image)).decode()
    return Markup(
        '<img src="data:image/{format};base64,{data}" alt="{alt}" width="{width}" height="{height}"'
        ' class="{sharpness}" loading="lazy" decoding="async">'
    ).format(
        format="png" if small else "jpeg",
        data=data,
        alt=description,
        width=image.width,
        height=image.height,
        sharpness="small" if small else "large",
    )


def _encode_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()
