"""Pages and charts from the templates beside this."""

from jinja2 import Environment, PackageLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=PackageLoader("benchmarks", "templates"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def render(name: str, **context: object) -> str:
    """Fill a template in; a name it uses and is not given is an error."""
    return _TEMPLATES.get_template(name).render(**context)
