"""The words that mean a subject: its class noun and its token."""

from portraitist.errors import BadConfig


def check_words(class_noun: str, token: str) -> None:
    """Refuse words that cannot mean a subject.

    Raises:
        BadConfig: If the class noun is missing, or the token is no single word of its own.
    """
    if not class_noun.strip():
        raise BadConfig("the subject needs a class noun, such as cat or backpack: --class cat")
    if not token.strip() or len(token.split()) != 1:
        raise BadConfig(f"the token must be a single word, not {token!r}; sks is the usual choice")
    if token.lower() in class_noun.lower().split():
        raise BadConfig(f"the token {token!r} is a word of the class {class_noun!r}; choose a rare word such as sks")
